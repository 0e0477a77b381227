// The java.net.http half of Worker.java, for Java 11 and later: a class of its own, so that Java 8 never loads it.
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

class OverHttpClient implements Worker.Kind {
    private static final int COLLECT_EVERY = 8;
    private final ExecutorService threads = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    });
    private int runs;

    @Override
    public String userAgent() {
        return "Java-http-client/" + System.getProperty("java.version");
    }

    /** A client a request, as its pool can't be emptied; what is left of one goes when it is collected. */
    @Override
    public Worker.Answer ask(Worker.Request request) throws Exception {
        if (++runs % COLLECT_EVERY == 0) {
            System.gc();
        }
        HttpClient.Builder builder = HttpClient.newBuilder()
            .executor(threads)
            .followRedirects(HttpClient.Redirect.NEVER)
            .proxy(ProxySelector.of(new InetSocketAddress(request.proxy.getHostString(), request.proxy.getPort())))
            .connectTimeout(Duration.ofMillis(request.timeoutMs));
        if (request.url.getProtocol().equals("https")) {
            builder.sslContext(Worker.tls(request.trust));
        }
        if (request.http != null) {
            builder.version(request.http.equals("1.1") ? HttpClient.Version.HTTP_1_1 : HttpClient.Version.HTTP_2);
        }
        HttpRequest.Builder wanted = HttpRequest.newBuilder(request.url.toURI())
            .timeout(Duration.ofMillis(request.timeoutMs))
            .method(request.method, request.body == null
                ? HttpRequest.BodyPublishers.noBody()
                : HttpRequest.BodyPublishers.ofByteArray(request.body));
        if (request.userAgent != null && !request.userAgent.equals(userAgent())) {
            wanted.setHeader("User-Agent", request.userAgent);
        }
        for (String[] header : request.headers) {
            wanted.setHeader(header[0], header[1]);
        }
        long begun = System.nanoTime();
        HttpResponse<InputStream> got = builder.build().send(wanted.build(), HttpResponse.BodyHandlers.ofInputStream());
        Worker.Answer answer = new Worker.Answer();
        answer.status = got.statusCode();
        answer.http = got.version() == HttpClient.Version.HTTP_2 ? "2" : "1.1";
        for (Map.Entry<String, List<String>> header : got.headers().map().entrySet()) {
            for (String value : header.getValue()) {
                answer.headers.add(new String[] {header.getKey(), value});
            }
        }
        answer.firstByteMs = (System.nanoTime() - begun) / 1e6;
        try (InputStream in = got.body()) {
            answer.body = Worker.read(in, request.bodyBytesMax, answer);
        }
        answer.totalMs = (System.nanoTime() - begun) / 1e6;
        Worker.forget();
        return answer;
    }
}
