// The console: each part of the page has a module of its own; here they are
// connected to the stream of events.

import { experiments } from "./experiments.js";
import { header } from "./header.js";
import { invoices } from "./invoices.js";
import { issueForm } from "./issue.js";
import { letters } from "./letters.js";
import { connect } from "./live.js";
import { loop } from "./loop.js";
import { numbers } from "./numbers.js";

const part = (id) => document.getElementById(id);

const top = header();
const plots = numbers(part("numbers"));
const list = invoices(part("content"));
const detail = loop(part("loop"));
const queue = letters(document.querySelector(".letters"));
const lab = experiments(part("experiments"));
issueForm(part("issue").querySelector("form"), (id) => { location.hash = id; });

const live = connect({
  status: top.connection,
  events: {
    state(state) {
      const demo = state.mode === "demo";
      document.body.dataset.mode = state.mode;
      part("issue").hidden = !demo;
      part("experiments").hidden = !demo;
      for (const view of [top, list, detail, queue, lab]) view.update(state);
    },
    samples: plots.reset,
    sample(sample) {
      plots.add(sample);
      lab.sample(sample);
    },
    timeline: detail.timeline,
  },
});

// What is selected is in the address, so that it can be linked to.
function select() {
  const id = location.hash.slice(1);
  list.select(id);
  detail.select(id);
  live.follow(id);
}

addEventListener("hashchange", () => {
  select();
  // Where the detail is below the list, bring it into view.
  if (location.hash && matchMedia("(max-width: 719px)").matches) part("loop").scrollIntoView({ block: "start" });
});
select();
