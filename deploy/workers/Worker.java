// Makes requests with the JVM's own HTTP and TLS, as edgewatch's contract has it (docs/programs.md). Runs on Java 8 and later.
//
// One JSON object a line on standard input, one on standard output; it ends with its input. Argument: HttpUrlConnection,
// which is what most libraries end in, or HttpClient (Java 11 and later).
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.SocketTimeoutException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSessionContext;
import javax.net.ssl.TrustManagerFactory;

public class Worker {
    /** Makes one request. */
    interface Kind {
        Answer ask(Request request) throws Exception;

        /** What it says of itself where the request names no user agent. */
        String userAgent();
    }

    static class Request {
        String method;
        URL url;
        List<String[]> headers = new ArrayList<>();
        byte[] body;
        String userAgent;
        String http;
        InetSocketAddress proxy;
        String trust;
        int timeoutMs;
        int bodyBytesMax;
    }

    static class Answer {
        int status;
        String http = "1.1";
        List<String[]> headers = new ArrayList<>();
        byte[] body = new byte[0];
        boolean truncated;
        double firstByteMs;
        double totalMs;
    }

    public static void main(String[] arguments) throws Exception {
        // A failed POST must not be sent twice.
        System.setProperty("sun.net.http.retryPost", "false");
        Kind kind = arguments.length > 0 && arguments[0].equals("HttpClient")
            ? (Kind) Class.forName("OverHttpClient").getDeclaredConstructor().newInstance()
            : new OverUrlConnection();
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String version = System.getProperty("java.version");
        out.println("{\"v\":1,\"hello\":{\"name\":\"java " + kind.getClass().getSimpleName().substring(4) + "\",\"version\":"
            + quoted(version) + ",\"user_agent\":" + quoted(kind.userAgent()) + "}}");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Map<String, Object> asked = new Json(line).object();
            String start = "{\"v\":1,\"id\":" + quoted((String) asked.get("id"));
            try {
                out.println(start + said(kind.ask(request(asked))) + "}");
            } catch (Exception wrong) {
                out.println(start + ",\"error\":{\"kind\":" + quoted(kindOf(wrong)) + ",\"message\":" + quoted(String.valueOf(wrong)) + "}}");
            }
        }
    }

    @SuppressWarnings("unchecked")
    private static Request request(Map<String, Object> asked) throws Exception {
        Request request = new Request();
        request.method = (String) asked.get("method");
        request.url = new URL((String) asked.get("url"));
        for (Object pair : (List<Object>) asked.get("headers")) {
            List<Object> header = (List<Object>) pair;
            request.headers.add(new String[] {(String) header.get(0), (String) header.get(1)});
        }
        String body = (String) asked.get("body");
        request.body = body == null ? null : Base64.getDecoder().decode(body);
        request.userAgent = (String) asked.get("user_agent");
        request.http = (String) asked.get("http");
        Map<String, Object> proxy = (Map<String, Object>) asked.get("proxy");
        request.proxy = new InetSocketAddress((String) proxy.get("host"), ((Double) proxy.get("port")).intValue());
        request.trust = (String) asked.get("trust");
        request.timeoutMs = ((Double) asked.get("timeout_ms")).intValue();
        request.bodyBytesMax = ((Double) asked.get("body_bytes_max")).intValue();
        return request;
    }

    private static String said(Answer answer) {
        StringBuilder text = new StringBuilder();
        text.append(",\"status\":").append(answer.status).append(",\"http\":").append(quoted(answer.http)).append(",\"headers\":[");
        String comma = "";
        for (String[] header : answer.headers) {
            text.append(comma).append('[').append(quoted(header[0])).append(',').append(quoted(header[1])).append(']');
            comma = ",";
        }
        text.append("],\"body\":\"").append(Base64.getEncoder().encodeToString(answer.body)).append("\",\"truncated\":").append(answer.truncated);
        text.append(",\"timing_ms\":{\"first_byte\":").append(answer.firstByteMs).append(",\"total\":").append(answer.totalMs).append('}');
        return text.toString();
    }

    /** In edgewatch's words for failures; what it does not know reads as the program's own trouble. */
    static String kindOf(Throwable wrong) {
        for (Throwable cause = wrong; cause != null; cause = cause.getCause()) {
            if (cause instanceof CertificateException) {
                return "certificate";
            }
        }
        String message = String.valueOf(wrong.getMessage());
        if (wrong instanceof SocketTimeoutException || wrong.getClass().getSimpleName().contains("Timeout")) {
            return "timeout";
        }
        if (message.contains("Connection reset")) {
            return "reset";
        }
        if (wrong instanceof SSLException) {
            return "handshake";
        }
        return wrong instanceof ConnectException ? "refused" : "program";
    }

    private static SSLContext context;
    private static String contextOf;

    /** The roots of a PEM file; the JVM's own without one. Reading them takes longer than a request, so it is done once. */
    static SSLContext tls(String trust) throws Exception {
        if (context != null && String.valueOf(trust).equals(contextOf)) {
            return context;
        }
        KeyStore store = null;
        if (trust != null) {
            store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            try (InputStream file = new FileInputStream(trust)) {
                int number = 0;
                for (Certificate root : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
                    store.setCertificateEntry("root" + number++, root);
                }
            }
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        context = SSLContext.getInstance("TLS");
        context.init(null, factory.getTrustManagers(), null);
        contextOf = String.valueOf(trust);
        return context;
    }

    /** Forgets sessions: one that is taken up is another fingerprint. */
    static void forget() {
        if (context == null) {
            return;
        }
        SSLSessionContext sessions = context.getClientSessionContext();
        for (byte[] id : Collections.list(sessions.getIds())) {
            SSLSession session = sessions.getSession(id);
            if (session != null) {
                session.invalidate();
            }
        }
    }

    /** Reads at most so many bytes; one more says that there are more. */
    static byte[] read(InputStream in, int most, Answer answer) throws IOException {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        byte[] buffer = new byte[16384];
        for (int count = in.read(buffer); count > 0; count = in.read(buffer)) {
            int room = most - body.size();
            body.write(buffer, 0, Math.min(room, count));
            if (count > room) {
                answer.truncated = true;
                break;
            }
        }
        return body.toByteArray();
    }

    static class OverUrlConnection implements Kind {
        @Override
        public String userAgent() {
            return "Java/" + System.getProperty("java.version");
        }

        @Override
        public Answer ask(Request request) throws Exception {
            Proxy proxy = new Proxy(Proxy.Type.HTTP, request.proxy);
            HttpURLConnection connection = (HttpURLConnection) request.url.openConnection(proxy);
            try {
                return ask(request, connection);
            } finally {
                connection.disconnect();
                forget();
            }
        }

        private Answer ask(Request request, HttpURLConnection connection) throws Exception {
            if (connection instanceof HttpsURLConnection) {
                ((HttpsURLConnection) connection).setSSLSocketFactory(tls(request.trust).getSocketFactory());
            }
            connection.setInstanceFollowRedirects(false);
            connection.setUseCaches(false);
            connection.setConnectTimeout(request.timeoutMs);
            connection.setReadTimeout(request.timeoutMs);
            connection.setRequestMethod(request.method);
            // Its own default keeps its own place among the headers.
            if (request.userAgent != null && !request.userAgent.equals(userAgent())) {
                connection.setRequestProperty("User-Agent", request.userAgent);
            }
            for (String[] header : request.headers) {
                connection.setRequestProperty(header[0], header[1]);
            }
            if (request.body != null) {
                connection.setDoOutput(true);
                connection.setFixedLengthStreamingMode(request.body.length);
            }
            connection.connect();
            long begun = System.nanoTime();
            if (request.body != null) {
                connection.getOutputStream().write(request.body);
            }
            Answer answer = new Answer();
            answer.status = connection.getResponseCode();
            answer.firstByteMs = (System.nanoTime() - begun) / 1e6;
            String line = connection.getHeaderField(0);
            answer.http = line != null && line.startsWith("HTTP/1.0") ? "1.0" : "1.1";
            for (int n = 1; connection.getHeaderField(n) != null; n++) {
                answer.headers.add(new String[] {connection.getHeaderFieldKey(n), connection.getHeaderField(n)});
            }
            InputStream in = answer.status >= 400 ? connection.getErrorStream() : connection.getInputStream();
            if (in != null) {
                answer.body = read(in, request.bodyBytesMax, answer);
            }
            answer.totalMs = (System.nanoTime() - begun) / 1e6;
            return answer;
        }
    }

    static String quoted(String text) {
        if (text == null) {
            return "null";
        }
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < ' ') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    /** As much JSON as edgewatch writes. */
    static class Json {
        private final String text;
        private int at;

        Json(String text) {
            this.text = text;
        }

        @SuppressWarnings("unchecked")
        Map<String, Object> object() {
            return (Map<String, Object>) value();
        }

        private char next() {
            while (Character.isWhitespace(text.charAt(at))) {
                at++;
            }
            return text.charAt(at);
        }

        private boolean goesOn(char end) {
            if (next() == ',') {
                at++;
            }
            boolean ends = next() == end;
            at += ends ? 1 : 0;
            return !ends;
        }

        private Object value() {
            char first = next();
            if (first == '{') {
                Map<String, Object> map = new LinkedHashMap<>();
                for (at++; goesOn('}');) {
                    String key = string();
                    next();
                    at++;
                    map.put(key, value());
                }
                return map;
            }
            if (first == '[') {
                List<Object> list = new ArrayList<>();
                for (at++; goesOn(']');) {
                    list.add(value());
                }
                return list;
            }
            if (first == '"') {
                return string();
            }
            int begin = at;
            while (at < text.length() && ",]} \t".indexOf(text.charAt(at)) < 0) {
                at++;
            }
            String word = text.substring(begin, at);
            switch (word) {
                case "null":
                    return null;
                case "true":
                    return Boolean.TRUE;
                case "false":
                    return Boolean.FALSE;
                default:
                    return Double.valueOf(word);
            }
        }

        private String string() {
            StringBuilder out = new StringBuilder();
            next();
            for (at++; text.charAt(at) != '"'; at++) {
                if (text.charAt(at) != '\\') {
                    out.append(text.charAt(at));
                    continue;
                }
                char escaped = text.charAt(++at);
                int plain = "bfnrt".indexOf(escaped);
                if (escaped == 'u') {
                    out.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
                    at += 4;
                } else {
                    out.append(plain < 0 ? escaped : "\b\f\n\r\t".charAt(plain));
                }
            }
            at++;
            return out.toString();
        }
    }
}
