// Keeps an open page fresh: hears that something changed, asks for the page again, and changes what differs.
// Everything on the page is there without it.
const page = document.getElementById("page");
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const GAP = 2000, SILENCE = 40000, AGAIN = 30000, OLD = 60000;
let stream, silent, later, asked = 0, waits = false, paused = false;

/** Makes `old` like `next`, and leaves alone what is the same: focus, selection and scrolling stay. */
function morph(old, next) {
  if (old.isEqualNode(next)) return;
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) {
    old.replaceWith(document.importNode(next, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = next.nodeValue;
    return;
  }
  // Whether it is unfolded is the reader's.
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  let at = old.firstChild;
  for (const child of [...next.childNodes]) {
    const same = child.id && [...old.children].find((it) => it.id === child.id);
    if (same && same !== at) old.insertBefore(same, at);
    const here = same || at;
    if (!here) old.append(document.importNode(child, true));
    else if (!same && here.id) old.insertBefore(document.importNode(child, true), here);
    else {
      at = here.nextSibling;
      morph(here, child);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

async function refresh() {
  if (waits || paused) return;
  waits = true;
  await new Promise((go) => setTimeout(go, Math.max(0, asked + GAP - Date.now())));
  waits = false;
  if (paused) return;
  asked = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    const text = await answer.text();
    const next = new DOMParser().parseFromString(text, "text/html");
    const fresh = next.getElementById("page");
    if (!fresh) throw new Error("no page");
    document.title = next.title;
    morph(page, fresh);
    morph(document.querySelector("link[rel=icon]"), next.querySelector("link[rel=icon]"));
    live.parentNode.lastChild.nodeValue = next.getElementById("contact").lastChild.nodeValue;
    clearTimeout(later);
    later = setTimeout(refresh, OLD);
  } catch {
    gone("");
  }
}

function heard() {
  clearTimeout(silent);
  silent = setTimeout(() => gone(""), SILENCE);
  lost.textContent = "";
  live.textContent = paused ? "Paused" : "Live";
}

/** Says that what is shown is old. */
function gone(why) {
  live.textContent = "No contact";
  if (!lost.textContent) lost.textContent = `${why || "No contact with edgewatch."} This page shows how it was at${live.parentNode.lastChild.nodeValue}.`;
}

function open() {
  if (stream || document.hidden || paused || !page.dataset.live) return;
  stream = new EventSource(page.dataset.live);
  stream.addEventListener("hello", ({ data }) => {
    const { build, seq } = JSON.parse(data);
    heard();
    if (build !== page.dataset.build) location.reload();
    else if (String(seq) !== page.dataset.seq) refresh();
  });
  stream.addEventListener("changed", () => {
    heard();
    refresh();
  });
  stream.addEventListener("sign", heard);
  stream.addEventListener("bye", () => gone("edgewatch was stopped."));
  stream.addEventListener("error", () => {
    gone("");
    // Refused: the browser does not try again by itself.
    if (stream && stream.readyState === EventSource.CLOSED) {
      close();
      setTimeout(open, AGAIN);
      setTimeout(refresh, AGAIN);
    }
  });
}

function close() {
  clearTimeout(silent);
  if (stream) stream.close();
  stream = undefined;
}

// A hidden tab holds none of the six connections that a browser has for us.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
addEventListener("pageshow", open);

const pause = document.createElement("button");
pause.type = "button";
pause.textContent = "Pause";
pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Go on" : "Pause";
  live.textContent = paused ? "Paused" : "";
  if (paused) close();
  else {
    open();
    refresh();
  }
});
// A screen that nobody touches has no bar to hold it.
if (page.dataset.live && document.querySelector("nav")) live.parentNode.before(pause);

// The secret of a printed address is sent once and leaves the bar; it never was in a request's address.
const secret = document.querySelector("input[name=secret]");
if (secret && location.hash.length > 1) {
  secret.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  secret.form.submit();
}

// A slider shows its moment when it is let go; without this there is a button.
for (const slider of document.querySelectorAll("[data-go]")) slider.addEventListener("change", () => slider.form.requestSubmit());

// Where a text is made to be taken elsewhere.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(text.value ?? text.textContent);
    button.textContent = "Copied";
  });
}
open();
