#!/usr/bin/env python3
"""Makes requests with Python's own HTTP and TLS, as edgewatch's contract has it (docs/programs.md).

With requests where it is installed and "requests" is the argument, else with urllib. One JSON object a line on standard
input, one on standard output; it ends with its input.
"""
import base64
import http.client
import json
import platform
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def own_context(trust):
    # As http.client makes one for itself (Lib/http/client.py of 3.11, read 2026-11-30): one that is handed in offers no
    # ALPN and no authentication after the handshake, and so has another hello.
    context = ssl.create_default_context(cafile=trust)
    if sys.version_info >= (3, 10):
        context.set_alpn_protocols(["http/1.1"])
    if getattr(context, "post_handshake_auth", None) is not None:
        context.post_handshake_auth = True
    return context


def over_urllib(asked, body, proxy):
    # The environment's proxies must not join in, and an empty jar keeps nothing.
    context = own_context(asked["trust"])
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"http": proxy, "https": proxy}),
        urllib.request.HTTPSHandler(context=context),
        NoRedirect,
    )
    if asked["user_agent"] is not None:
        opener.addheaders = [("User-Agent", asked["user_agent"])]
    request = urllib.request.Request(asked["url"], data=body, method=asked["method"])
    for name, value in asked["headers"]:
        request.add_header(name, value)
    begun = time.monotonic()
    try:
        answer = opener.open(request, timeout=asked["timeout_ms"] / 1000)
    except urllib.error.HTTPError as refused:
        answer = refused
    first = time.monotonic() - begun
    version = "1.0" if getattr(answer, "version", 11) == 10 else "1.1"
    return answer.status, version, answer.headers.items(), answer.read, begun, first


def over_requests(asked, body, proxy):
    import requests

    session = requests.Session()
    session.trust_env = False
    session.verify = asked["trust"] or True
    # The wishes replace in place what requests would say by itself.
    session.headers.update(dict(asked["headers"]))
    if asked["user_agent"] is not None:
        session.headers["User-Agent"] = asked["user_agent"]
    begun = time.monotonic()
    answer = session.request(
        asked["method"], asked["url"], data=body, proxies={"http": proxy, "https": proxy},
        allow_redirects=False, stream=True, timeout=asked["timeout_ms"] / 1000,
    )
    first = time.monotonic() - begun
    version = "1.0" if answer.raw.version == 10 else "1.1"
    read = lambda most: answer.raw.read(most, decode_content=False)
    return answer.status_code, version, answer.raw.headers.items(), read, begun, first


def kind_of(wrong):
    """In edgewatch's words for failures; what it does not know reads as the program's own trouble."""
    seen = []
    while wrong is not None and wrong not in seen and len(seen) < 8:
        seen.append(wrong)
        if isinstance(wrong, ssl.SSLCertVerificationError):
            return "certificate"
        if isinstance(wrong, ssl.SSLError):
            return "handshake"
        if isinstance(wrong, (socket.timeout, TimeoutError)):
            return "timeout"
        if isinstance(wrong, ConnectionResetError):
            return "reset"
        if isinstance(wrong, (http.client.RemoteDisconnected, http.client.IncompleteRead)):
            return "closed"
        inner = getattr(wrong, "reason", None)
        wrong = inner if isinstance(inner, BaseException) else wrong.__cause__ or wrong.__context__
    return "program"


def answer_to(asked, ask):
    body = base64.b64decode(asked["body"]) if asked["body"] is not None else None
    proxy = "http://%s:%d" % (asked["proxy"]["host"], asked["proxy"]["port"])
    status, version, headers, read, begun, first = ask(asked, body, proxy)
    most = asked["body_bytes_max"]
    content = read(most + 1) or b""
    return {
        "status": status,
        "http": version,
        "headers": [[name, value] for name, value in headers],
        "body": base64.b64encode(content[:most]).decode(),
        "truncated": len(content) > most,
        "timing_ms": {"first_byte": first * 1000, "total": (time.monotonic() - begun) * 1000},
    }


def main():
    ask = over_requests if sys.argv[1:] == ["requests"] else over_urllib
    name = "python " + ask.__name__[5:]
    say = lambda said: print(json.dumps({"v": 1, **said}), flush=True)
    say({"hello": {"name": name, "version": platform.python_version()}})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            said = answer_to(asked, ask)
        except Exception as wrong:  # whatever it was, edgewatch is to hear of it
            said = {"error": {"kind": kind_of(wrong), "message": "%s: %s" % (type(wrong).__name__, wrong)}}
        say({"id": asked["id"], **said})


main()
