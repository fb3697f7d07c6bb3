// Short reports of what a click has done, for eyes and screen readers.

import { el } from "./dom.js";

const STAY_MS = 6000;
const MOST = 3;

const region = () => document.getElementById("toasts");

/** @param {"ok"|"bad"} kind */
export function toast(kind, title, detail = "", link = null) {
  const node = el("div", { class: "toast", "data-kind": kind },
    el("strong", {}, title),
    detail ? el("span", {}, detail) : null,
    link ? el("a", { href: link.href }, link.text) : null);
  const close = el("button", { type: "button", class: "close", "aria-label": "Dismiss", onclick: () => node.remove() }, "×");
  node.append(close);
  const box = region();
  box.append(node);
  while (box.children.length > MOST) box.firstElementChild.remove();
  setTimeout(() => node.remove(), STAY_MS);
}

/** Reports an answer that is no success by its problem document. */
export function toastProblem(answer) {
  const problem = answer.json ?? {};
  const title = problem.title ?? `HTTP ${answer.status}`;
  const link = problem.type?.startsWith("/problems/") ? { href: problem.type, text: "What to do" } : null;
  toast("bad", title, problem.detail ?? "", link);
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape") region().lastElementChild?.remove();
});
