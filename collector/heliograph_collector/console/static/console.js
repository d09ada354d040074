// Keeps the page true without reloading it: the server says that something changed, we ask again and swap.
"use strict";

const GATHER_MS = 300; // changes come in flocks
const lamp = document.getElementById("live");
const word = document.getElementById("live-word");
const topics = (document.getElementById("main").dataset.topics || "").split(" ").filter(Boolean);
let waiting = 0;

function say(state, text) {
  lamp.dataset.state = state;
  if (word.textContent !== text) word.textContent = text;
}

function soon() {
  if (!waiting) waiting = setTimeout(refresh, GATHER_MS);
}

async function refresh() {
  try {
    const answer = await fetch(location.href, {
      cache: "no-store", headers: { "Accept": "text/html", "X-Heliograph-Live": "1" }, signal: AbortSignal.timeout(10_000),
    });
    if (answer.redirected) return over();
    if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    say("lost", "Connection lost");
  } finally {
    waiting = 0;
  }
}

// The element itself stays, so that reading position does; what somebody is typing into is left alone.
function swap(fresh) {
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (!old || old.innerHTML === part.innerHTML) continue;
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    if (focus && focus.matches("input, textarea, select")) continue;
    const home = focus && focus.getAttribute("href");
    old.className = part.className;
    old.innerHTML = part.innerHTML;
    if (home) for (const link of old.querySelectorAll("a")) if (link.getAttribute("href") === home) link.focus();
  }
}

function over() {
  stream?.close();
  say("lost", "Logged out: load the page again");
}

let stream = null;
if (topics.length) {
  stream = new EventSource("/console/stream");
  stream.addEventListener("open", () => { say("live", "Live"); soon(); });
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) over(); else say("lost", "Reconnecting");
  });
  stream.addEventListener("changed", (event) => {
    if (JSON.parse(event.data).topics.some((topic) => topics.includes(topic))) soon();
  });
  stream.addEventListener("over", over);
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// On a telephone the row of places is wider than the screen: where one is must be in sight.
const place = document.querySelector(".places [aria-current]");
if (place) place.parentElement.scrollLeft = place.offsetLeft - (place.parentElement.clientWidth - place.offsetWidth) / 2;
