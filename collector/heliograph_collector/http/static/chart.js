// What a bar is and when, under the pointer or a finger; a range that is drawn with the mouse opens its days.
"use strict";

const DAY_S = 86_400;
const DRAG_PX = 8; // a shaky click is none
const lang = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang; // as the pages write days
const day = new Intl.DateTimeFormat(lang, { timeZone: "UTC", day: "numeric", month: "short" });
const minute = new Intl.DateTimeFormat(lang, { timeZone: "UTC", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const readout = Object.assign(document.createElement("div"), { className: "readout", hidden: true });
readout.setAttribute("aria-hidden", "true"); // the chart's own label says it to screen readers
const range = Object.assign(document.createElement("div"), { className: "range", hidden: true });
let drag = null;
let shownAt = 0; // how far the page was scrolled

function at(svg, x) {
  const box = svg.getBoundingClientRect();
  return Math.min(Math.max((x - box.left) / box.width, 0), 1 - 1e-9);
}

// The axis of the chart's table says from when to when, and how long a bar is.
function axisOf(svg) {
  const axis = svg.closest("table")?.querySelector("svg.axis");
  return axis ? { since: Number(axis.dataset.since), step: Number(axis.dataset.step), bins: Number(axis.dataset.bins) } : null;
}

function wordFor(mark) {
  return document.querySelector(`.keys .${mark.classList[1]}`)?.dataset.word;
}

function describe(svg, axis, share) {
  const covers = (mark) => {
    const x = parseFloat(mark.getAttribute("x")) / 100;
    return share >= x - 1e-4 && share < x + parseFloat(mark.getAttribute("width")) / 100;
  };
  const marks = [...svg.querySelectorAll("rect.span, rect.bar")].filter(covers);
  const words = new Set(marks.map(wordFor).filter(Boolean));
  if (!words.size) words.add(document.querySelector(".keys .nothing")?.dataset.word);
  const since = axis.since + Math.floor(share * axis.bins) * axis.step;
  const format = axis.step < DAY_S ? minute : day;
  const last = axis.step < DAY_S ? since + axis.step : since + axis.step - 1;
  const times = format.formatRange(new Date(since * 1000), new Date(last * 1000));
  return `${times}${axis.step < DAY_S ? " UTC" : ""}: ${[...words].join(", ")}`;
}

function show(svg, x) {
  const axis = axisOf(svg);
  if (!axis) return;
  const box = svg.getBoundingClientRect();
  readout.textContent = describe(svg, axis, at(svg, x));
  readout.hidden = false;
  shownAt = scrollY;
  const left = Math.min(Math.max(x - readout.offsetWidth / 2, 4), document.documentElement.clientWidth - readout.offsetWidth - 4);
  readout.style.left = `${left + scrollX}px`;
  readout.style.top = `${box.top + scrollY - readout.offsetHeight - 6}px`;
}

function mark(x) {
  const box = drag.svg.getBoundingClientRect();
  const [from, to] = [Math.min(drag.x, x), Math.max(drag.x, x)].map((edge) => Math.min(Math.max(edge, box.left), box.right));
  range.style.left = `${from + scrollX}px`;
  range.style.width = `${to - from}px`;
  range.style.top = `${box.top + scrollY}px`;
  range.style.height = `${box.height}px`;
  range.hidden = to - from < DRAG_PX;
}

function open(svg, from, to) {
  const axis = axisOf(svg);
  const [first, last] = [Math.min(from, to), Math.max(from, to)].map((x) =>
    new Date((axis.since + at(svg, x) * axis.bins * axis.step) * 1000).toISOString().slice(0, 10));
  const address = new URL(location.href);
  for (const name of ["window", "bin", "at"]) address.searchParams.delete(name);
  address.searchParams.set("since", first);
  address.searchParams.set("until", last);
  location.assign(address);
}

const chartAt = (event) => event.target.closest?.("svg.ribbon");
const hide = () => { readout.hidden = true; };

document.body.append(readout, range);
document.addEventListener("pointermove", (event) => {
  if (drag) return mark(event.clientX);
  const svg = chartAt(event);
  if (svg) show(svg, event.clientX); else hide();
});
document.addEventListener("pointerdown", (event) => {
  const svg = chartAt(event);
  if (!svg) return hide();
  show(svg, event.clientX);
  const axis = axisOf(svg);
  if (axis && event.pointerType === "mouse" && event.button === 0 && axis.bins * axis.step > DAY_S) {
    drag = { svg, x: event.clientX };
    event.preventDefault(); // no text is marked
  }
});
document.addEventListener("pointerup", (event) => {
  if (drag && !range.hidden) open(drag.svg, drag.x, event.clientX);
  drag = null;
  range.hidden = true;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  drag = null;
  range.hidden = true;
  hide();
});
addEventListener("scroll", () => { if (Math.abs(scrollY - shownAt) > DRAG_PX) hide(); }, { passive: true });
