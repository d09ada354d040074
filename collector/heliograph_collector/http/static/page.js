// Keeps the page true without reloading it: an event says that something changed, the server renders, we swap.
"use strict";

const EVERY_MS = 60_000; // time passes even when nothing changes
const GATHER_MS = 800; // events come in flocks

const lamp = document.getElementById("live");
const word = document.getElementById("live-word");
let waiting = 0;
let asking = false;
let again = false;

function say(state, text) {
  lamp.dataset.state = state;
  if (word.textContent !== text) word.textContent = text;
}

function soon(delay = GATHER_MS) {
  if (!waiting) waiting = setTimeout(refresh, delay);
}

async function refresh() {
  waiting = 0;
  if (asking) { again = true; return; }
  asking = true;
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(String(answer.status));
    swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    say("lost", lamp.dataset.lostWord);
    soon(5_000);
  } finally {
    asking = false;
    if (again) { again = false; soon(); }
  }
}

function swap(fresh) {
  const main = document.getElementById("main");
  const next = fresh.getElementById("main");
  if (main.dataset.shape !== next.dataset.shape) main.replaceWith(document.adoptNode(next));
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (old && old.outerHTML !== part.outerHTML) put(old, part);
  }
  tellSince();
}

// Beside the time in UTC: how long ago, and by the reader's clock.
function tellSince() {
  const ago = document.getElementById("ago");
  const time = document.querySelector("#since time");
  if (!ago) return;
  ago.textContent = "";
  if (!time) return;
  const started = new Date(time.dateTime);
  const minutes = Math.max(Math.floor((Date.now() - started) / 60_000), 0);
  const [count, unit] = minutes < 120 ? [minutes, "minute"] : minutes < 2_880 ? [Math.floor(minutes / 60), "hour"] : [Math.floor(minutes / 1_440), "day"];
  const lang = document.documentElement.lang;
  const relative = new Intl.RelativeTimeFormat(lang, { numeric: "always" }).format(-count, unit);
  const local = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" }).format(started);
  // A clock in UTC would say the same once more.
  ago.textContent = started.getTimezoneOffset() ? `· ${relative} · ${local}` : `· ${relative}`;
}

// The element itself stays, so that focus, reading position and the live region do.
function put(old, part) {
  const was = old.getAttribute("class");
  const changed = was !== part.getAttribute("class") && (old.tagName === "TD" || old.tagName === "LI");
  if (part.hasAttribute("class")) old.setAttribute("class", part.getAttribute("class"));
  if (part.dateTime) old.dateTime = part.dateTime;
  if (part.dataset.entry) old.dataset.entry = part.dataset.entry;
  if (old.innerHTML !== part.innerHTML) old.innerHTML = part.innerHTML;
  if (changed) {
    old.classList.add("changed");
    old.addEventListener("animationend", () => old.classList.remove("changed"), { once: true });
  }
}

const stream = new EventSource("/api/v1/stream");
stream.addEventListener("open", () => { say("live", lamp.dataset.liveWord); soon(); });
stream.addEventListener("error", () => say("lost", lamp.dataset.againWord));
for (const name of ["cell", "coverage", "incident", "resync"]) stream.addEventListener(name, () => soon());
setInterval(() => { tellSince(); soon(); }, EVERY_MS);
tellSince();
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
