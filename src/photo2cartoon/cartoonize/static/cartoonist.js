/** The page's side of the worker: makes a portrait of a photograph, and cartoons of the portrait. */

import { Refused } from "./refused.js";

const SETTINGS = "photo2cartoon.json";

export class Cartoonist {
  /** @param report called with the number of bytes loaded and the number of all. */
  constructor(report) {
    this.waiting = new Map(); // calls without an answer, by number
    this.calls = 0;
    this.worker = startWorker();
    this.worker.onmessage = ({ data }) => (data.id === undefined ? report(data.loaded, data.total) : this.#answer(data));
    this.worker.onerror = (event) => this.#fail(event.message || "its script cannot be loaded");
    this.ready = this.#load();
  }

  /** Make the portrait of a file and keep it: `{ data, side, matrix, points }`, of which `data` is RGBA. */
  async cut(file) {
    await this.ready;
    return this.#call("cut", { file });
  }

  /** Draw the kept portrait with this strength of the photograph's colours; return a PNG file. */
  draw(colour) {
    return this.#call("draw", { colour });
  }

  async #load() {
    const answer = await fetch(new URL(SETTINGS, import.meta.url), { cache: "no-cache" });
    if (!answer.ok) throw new Error(`${SETTINGS} cannot be loaded: the server answers ${answer.status}`);
    this.settings = await answer.json();
    await this.#call("load", { given: this.settings });
  }

  #call(call, given) {
    return new Promise((resolve, reject) => {
      const id = this.calls++;
      this.waiting.set(id, { resolve, reject });
      if (this.broken) this.#fail(this.broken);
      else this.worker.postMessage({ id, call, ...given });
    });
  }

  #answer({ id, result, refused, failed, reason }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (refused) reject(new Refused(reason, refused));
    else if (failed) reject(new Error(failed));
    else resolve(result);
  }

  #fail(why) {
    this.broken = why;
    for (const { reject } of this.waiting.values()) reject(new Error(why));
    this.waiting.clear();
  }
}

/**
 * Start the worker by way of a blob: the page's Content-Security-Policy, by which nothing is sent to other hosts, then holds
 * for the worker too. A worker that is started from a file's address has only the policy that its server sends.
 */
function startWorker() {
  const address = new URL("worker.js", import.meta.url).href;
  const source = new Blob([`import ${JSON.stringify(address)};`], { type: "text/javascript" });
  return new Worker(URL.createObjectURL(source), { type: "module" });
}
