// The live numbers: one small plot each, of the last two minutes.

import { el, setText, svg } from "./dom.js";
import { compact, duration } from "./format.js";

const WINDOW = 120; // samples, one a second
const WIDTH = 120;
const HEIGHT = 32;

const total = (values) => values.reduce((sum, v) => sum + (v ?? 0), 0);
const last = (values) => values.findLast((v) => v !== null) ?? null;
const ms = (v) => (v === null ? "–" : duration(v));
const now = (line) => line.at(-1) ?? null;
const reading = (v) => (v === null ? "–" : compact(v));

/** What to say of a line's value: null while it is not known, for the given reason. */
const say = (line, away, known) => (line.length === 0 ? "" : now(line) === null ? away : known(now(line)));

/**
 * What is shown of the samples. Lines are drawn in one scale; the first is the
 * main one. A null in a line is a gap.
 */
const cards = [
  {
    name: "Commands", unit: "/s",
    lines: (s) => [s.commandsPerSecond],
    value: ([line]) => reading(now(line)),
    note: ([line], samples) => say(line, "", () => `${compact(samples.at(-1).publishedPerSecond)}/s published`),
  }, {
    name: "Outbox backlog", unit: "events",
    lines: (s) => [s.backlog],
    value: ([line]) => reading(now(line)),
    note: ([line], samples) => say(line, "not known now", (n) => (n > 0 ? `oldest ${duration(samples.at(-1).oldestAgeSeconds * 1000)}` : "nothing waits")),
    alarm: (_, samples) => (samples.at(-1)?.oldestAgeSeconds ?? 0) > 2,
  }, {
    name: "Commit → stream", unit: "p50",
    lines: (s) => [s.commitToStreamMs?.p50 ?? null, s.commitToStreamMs?.p99 ?? null],
    value: ([p50]) => ms(last(p50)),
    note: ([, p99]) => `p99 ${ms(last(p99))}`,
    scale: (v) => duration(v).replace(" ", ""), // there is little room
    bend: Math.log1p, // one slow message would flatten all others
  }, {
    name: "Consumer lag", unit: "messages",
    lines: (s) => [s.consumerLag],
    value: ([line]) => reading(now(line)),
    note: ([line]) => say(line, "NATS is away", () => "pending or in hand"),
  }, {
    name: "Redeliveries", unit: "in 2 min",
    lines: (s) => [s.redeliveries],
    value: ([line]) => reading(line.length === 0 ? null : total(line)),
    note: ([line]) => say(line, "", (n) => `${compact(n)}/s now`),
  }, {
    name: "Dead letters", unit: "waiting",
    lines: (s) => [s.deadLetters],
    value: ([line]) => reading(now(line)),
    note: ([line]) => say(line, "NATS is away", (n) => (n > 0 ? "not replayed yet" : "none")),
    alarm: ([line]) => now(line) > 0,
  },
];

/**
 * @param {HTMLElement} root
 * @returns {{reset: (samples: object[]) => void, add: (sample: object) => void}}
 */
export function numbers(root) {
  const views = cards.map(card);
  root.append(...views.map((v) => v.node));
  let samples = [];
  const show = () => views.forEach((v) => v.update(samples));
  show();
  return {
    reset(all) {
      samples = all.slice(-WINDOW);
      show();
    },
    add(sample) {
      samples = [...samples, sample].slice(-WINDOW);
      show();
    },
  };
}

function card(c) {
  const value = el("span", { class: "value" });
  const note = el("span", { class: "note" });
  const range = el("span", { class: "range" });
  const plot = svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const area = svg("path", { class: "area" });
  const strokes = [svg("path", { class: "line" }), svg("path", { class: "line second" })];
  plot.append(area, ...strokes);
  const node = el("article", { class: "number" },
    el("h2", {}, c.name),
    el("p", { class: "reading" }, value, el("span", { class: "unit" }, c.unit)),
    plot,
    el("p", { class: "foot" }, note, range));

  return {
    node,
    update(samples) {
      const rows = samples.map(c.lines);
      const lines = c.lines({ commitToStreamMs: null }).map((_, i) => rows.map((r) => r[i] ?? null));
      setText(value, c.value(lines, samples));
      setText(note, c.note(lines, samples));
      node.classList.toggle("alarm", Boolean(c.alarm?.(lines, samples)));
      const known = lines.flat().filter((v) => v !== null);
      const least = known.length ? Math.min(...known) : 0;
      const most = known.length ? Math.max(...known) : 0;
      const format = c.scale ?? compact;
      setText(range, known.length ? `${format(least)}–${format(most)}` : "");
      const top = Math.max(most, Number.MIN_VALUE);
      const height = (v) => (c.bend ? c.bend(v) / c.bend(top) : v / top);
      area.setAttribute("d", path(lines[0], height, true));
      strokes.forEach((stroke, i) => stroke.setAttribute("d", path(lines[i] ?? [], height, false)));
    },
  };
}

/**
 * An SVG path through the values, the newest at the right edge.
 * @param {(value: number) => number} height from 0 to 1
 */
function path(values, height, closed) {
  const step = WIDTH / (WINDOW - 1);
  const x = (i) => (WIDTH - (values.length - 1 - i) * step).toFixed(1);
  const y = (v) => (HEIGHT - 1.5 - height(v) * (HEIGHT - 4)).toFixed(1);
  let d = "";
  let from = -1;
  values.forEach((v, i) => {
    if (v === null) return;
    const begins = i === 0 || values[i - 1] === null;
    if (begins) from = i;
    d += `${begins ? "M" : "L"}${x(i)} ${y(v)}`;
    const ends = i === values.length - 1 || values[i + 1] === null;
    if (ends && closed) d += `L${x(i)} ${HEIGHT}L${x(from)} ${HEIGHT}Z`;
    if (ends && begins && !closed) d += "h0.01"; // a lone value is a dot
  });
  return d;
}
