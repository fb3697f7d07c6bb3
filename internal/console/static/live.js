// The stream of server-sent events, with reconnect.

const SILENCE_MS = 6000; // there is a sample every second: without one, the connection is dead
const RETRY_MS = [500, 1000, 2000, 3000];

/**
 * Keeps a stream open until the page goes.
 * @param {{status: (s: "connecting"|"live"|"reconnecting") => void, events: Object<string, (data: any) => void>}} on
 * @returns {{follow: (invoice: string) => void}} follow asks for the timeline of an invoice, "" for none
 */
export function connect(on) {
  let source = null;
  let invoice = "";
  let failures = 0;
  let timer = 0;

  function open() {
    clearTimeout(timer);
    source?.close();
    const opened = new EventSource(invoice ? `/console/stream?invoice=${encodeURIComponent(invoice)}` : "/console/stream");
    source = opened;
    for (const [name, handle] of Object.entries(on.events)) {
      opened.addEventListener(name, (event) => {
        failures = 0;
        on.status("live");
        expectMore();
        handle(JSON.parse(event.data));
      });
    }
    opened.onerror = () => {
      if (source === opened) again();
    };
    expectMore();
  }

  // again replaces the browser's own retry: it gives up after an answer that is
  // no stream, such as the 503 of a service that ends.
  function again() {
    source.close();
    clearTimeout(timer);
    on.status("reconnecting");
    timer = setTimeout(open, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  }

  function expectMore() {
    clearTimeout(timer);
    timer = setTimeout(again, SILENCE_MS);
  }

  addEventListener("online", open);
  on.status("connecting");
  open();
  return {
    follow(id) {
      if (id === invoice) return;
      invoice = id;
      open();
    },
  };
}
