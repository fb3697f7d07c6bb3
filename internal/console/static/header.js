// The top of the page: connection, dependencies, relay, and the banner that says
// what is wrong.

import * as api from "./api.js";
import { el, keyedList, setAttribute, setText, whileBusy } from "./dom.js";
import { toast, toastProblem } from "./toast.js";

const CONNECTION = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting" };

/** Pauses a running relay and resumes a paused one. */
export async function toggleRelay(relay) {
  const answer = await (relay === "paused" ? api.resumeRelay() : api.pauseRelay());
  if (!answer.ok) toastProblem(answer);
  else if (relay === "paused") toast("ok", "The relay runs", "What waits in the outbox goes out in order.");
  else toast("ok", "The relay is paused", "Commands go on; their events wait in the outbox.");
}

/** @returns {{connection: (status: string) => void, update: (state: object) => void}} */
export function header() {
  const connection = document.getElementById("connection");
  const relay = document.getElementById("relay");
  const pill = relay.querySelector(".pill");
  const button = relay.querySelector("button");
  const banner = document.getElementById("banner");
  const dependencies = keyedList(document.getElementById("dependencies"), (d) => d.name, dependency);
  let status = "connecting";
  let state = null;

  button.addEventListener("click", () => whileBusy(button, () => toggleRelay(state.relay)));

  function warn() {
    const away = state?.dependencies.filter((d) => !d.up) ?? [];
    let text = "";
    if (status === "reconnecting") text = "The service is away. What you see is the last that is known; the console reconnects by itself.";
    else if (away.length) text = away.map((d) => `${title(d.name)} is away${d.detail ? `: ${d.detail}` : ""}.`).join(" ") + consequence(away);
    setText(banner, text);
    banner.hidden = text === "";
    document.body.classList.toggle("stale", status === "reconnecting");
  }

  return {
    connection(now) {
      if (now === status && connection.dataset.state === now) return;
      status = now;
      connection.dataset.state = now;
      setText(connection.querySelector("span"), CONNECTION[now]);
      warn();
    },
    update(now) {
      state = now;
      dependencies(now.dependencies);
      relay.hidden = false;
      button.hidden = now.mode !== "demo";
      setAttribute(pill, "data-state", now.relay);
      setText(pill.querySelector("span"), `Relay ${now.relay}`);
      setText(button, now.relay === "paused" ? "Resume" : "Pause");
      setAttribute(button, "aria-label", now.relay === "paused" ? "Resume the relay" : "Pause the relay");
      warn();
    },
  };
}

function consequence(away) {
  const names = away.map((d) => d.name);
  if (names.includes("postgres")) return " Commands are answered with 503 until it is back.";
  if (names.includes("nats")) return " Commands go on; their events wait in the outbox.";
  return " Nothing is lost: Postgres decides.";
}

const title = (name) => ({ postgres: "Postgres", nats: "NATS", redis: "Redis" })[name] ?? name;

function dependency(d) {
  const word = el("span", { class: "sr" });
  const node = el("li", { class: "dep" }, el("i", { class: "dot" }), title(d.name), word);
  return {
    node,
    update(now) {
      setAttribute(node, "data-up", String(now.up));
      setAttribute(node, "title", now.up ? `${title(now.name)} answers` : `${title(now.name)}: ${now.detail || "away"}`);
      setText(word, now.up ? " up" : " away");
    },
  };
}
