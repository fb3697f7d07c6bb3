// The experiments: what people ask about, one button each.

import * as api from "./api.js";
import { copyable, el, setText, whileBusy } from "./dom.js";
import { duration } from "./format.js";
import { toggleRelay } from "./header.js";

const BURST = 50;
const SIDE_BY_SIDE = 8;

/**
 * @param {HTMLElement} root
 * @returns {{update: (state: object) => void, sample: (sample: object) => void}}
 */
export function experiments(root) {
  const result = root.querySelector("#result");
  const button = (name) => root.querySelector(`[data-do="${name}"]`);
  let state = { relay: "running", deadLetters: [] };
  let watch = null; // of the last experiment: told of what changes

  function show(title, ...content) {
    watch = null;
    result.replaceChildren(el("h3", {}, title), ...content);
  }

  function onClick(name, run) {
    button(name).addEventListener("click", ({ currentTarget }) => whileBusy(currentTarget, run));
  }

  onClick("same", async () => {
    const draft = aDraft();
    const key = api.newKey();
    const first = await api.issue(draft, key);
    const second = await api.issue(draft, key);
    const identical = first.text === second.text && first.text !== "";
    show("The same key again",
      answerView("First", first), answerView("Second", second),
      verdict(identical && second.headers.get("Idempotent-Replayed") === "true",
        `The same ${new TextEncoder().encode(second.text).length} bytes, one invoice.`, "The answers differ."));
  });

  onClick("other", async () => {
    const key = api.newKey();
    const first = await api.issue(aDraft(), key);
    const second = await api.issue({ ...aDraft(), amount: 15001 }, key);
    show("Same key, other body",
      answerView("First", first), answerView("Second", second),
      verdict(second.status === 422, "Refused: a key stands for one request.", "It was not refused."));
  });

  for (const kind of ["garbage", "unknown-invoice"]) {
    onClick(kind, async () => {
      const start = performance.now();
      const before = Math.max(0, ...state.deadLetters.map((l) => l.sequence));
      const answer = await api.publishPoison(kind);
      if (!answer.ok) {
        show("Poison", answerView("Publish", answer));
        return;
      }
      const { eventId } = answer.json;
      const progress = el("p", { class: "verdict" }, kind === "garbage" ? "Published. No retry can help it …" : "Published. Retried with back-off: see Redeliveries …");
      show(kind === "garbage" ? "No JSON" : "Unknown invoice", el("p", { class: "ids" }, copyable(eventId, "event id")), progress);
      watch = () => {
        // What is no JSON has no event id that a letter could show.
        const letter = state.deadLetters.find((l) => (l.eventId ? l.eventId === eventId : l.sequence > before));
        if (!letter) return;
        watch = null;
        const times = letter.deliveries === 1 ? "at the first delivery" : `after ${letter.deliveries} deliveries`;
        progress.replaceWith(verdict(true, `Parked ${times}, in ${duration(performance.now() - start)}: letter #${letter.sequence}.`), el("p", { class: "minor" }, letter.error));
      };
      watch();
    });
  }

  onClick("relay", () => toggleRelay(state.relay));

  onClick("burst", async () => {
    const start = performance.now();
    const progress = el("p", { class: "verdict" });
    show(`${BURST} invoices`, progress);
    let issued = 0;
    let refused = 0;
    const report = () => setText(progress, `${issued} of ${BURST} issued${refused ? `, ${refused} refused` : ""}, ${SIDE_BY_SIDE} side by side`);
    report();
    await sideBySide(BURST, async () => {
      const answer = await api.issue(aDraft());
      if (answer.ok) issued++;
      else refused++;
      report();
    });
    const took = performance.now() - start;
    setText(progress, `${issued} issued in ${duration(took)}${refused ? `, ${refused} refused` : ""}.`);
    const backlog = el("p", { class: "minor" }, "Looking at the outbox …");
    result.append(backlog);
    watch = (sample) => {
      if (!sample) return;
      if (sample.backlog > 0) setText(backlog, `${sample.backlog} wait in the outbox, the oldest for ${duration(sample.oldestAgeSeconds * 1000)}.${state.relay === "paused" ? " Resume the relay." : ""}`);
      else if (sample.backlog === 0) setText(backlog, "The outbox is empty: all are in the stream, in order.");
    };
  });

  return {
    update(now) {
      state = now;
      setText(button("relay"), now.relay === "paused" ? "Resume the relay" : "Pause the relay");
      watch?.(null);
    },
    sample(sample) {
      watch?.(sample);
    },
  };
}

const aDraft = () => ({ customerId: "cust_42", amount: 15000, currency: "EUR" });

/** Runs a job count times, a few at a time. */
async function sideBySide(count, job) {
  let begun = 0;
  const worker = async () => {
    while (begun < count) {
      begun++;
      await job();
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
}

const SHOWN_HEADERS = ["Idempotent-Replayed", "ETag", "X-Correlation-ID"];

/** An answer of the API: status, headers that matter, and its invoice or problem. */
function answerView(name, answer) {
  const headers = SHOWN_HEADERS.filter((h) => answer.headers.has(h))
    .flatMap((h) => [el("dt", {}, h), el("dd", {}, answer.headers.get(h))]);
  const said = answer.ok ? answer.json.invoiceNumber : [answer.json?.title, answer.json?.detail].filter(Boolean).join(": ");
  return el("div", { class: "answer" },
    el("p", { class: "line" },
      el("span", { class: "minor" }, name),
      el("strong", { class: "status", "data-ok": String(answer.ok) }, answer.status || "none"),
      el("span", { class: "took-ms" }, duration(answer.tookMs))),
    el("p", { class: "said" }, said),
    el("dl", { class: "headers" }, ...headers));
}

const verdict = (good, yes, no) => el("p", { class: "verdict", "data-good": String(good) }, good ? yes : no);
