/** Loads the runtime and the networks: onnxruntime in WebAssembly, on one thread unless the page is isolated. */

import { InferenceSession, Tensor, env } from "./onnxruntime.mjs";

const MOST_THREADS = 4;

/**
 * Load everything.
 *
 * @param files name and size of each file: `runtime`, and the networks `detector`, `mesh`, `segmenter`, `generator`.
 * @param report called with the number of bytes loaded and the number of all.
 * @returns the session of the generator; of each other network its side, and `run`, from numbers of a picture to outputs.
 */
export async function load(files, report) {
  const total = Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);
  let loaded = 0;
  const fetched = (kind) =>
    fetchFile(files[kind].name, (bytes) => {
      loaded = Math.min(loaded + bytes, total); // a server may have compressed a file, and count other bytes
      report(loaded, total);
    });
  const kinds = Object.keys(files);
  const contents = Object.fromEntries(
    await Promise.all(kinds.map(async (kind) => [kind, await fetched(kind)])),
  );
  env.wasm.wasmBinary = contents.runtime;
  env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  env.logLevel = "error";
  const models = {};
  for (const kind of kinds.filter((kind) => kind !== "runtime")) {
    const session = await open(contents[kind]);
    models[kind] = kind === "generator" ? session : network(session, files[kind].side);
  }
  return models;
}

function open(graph) {
  return InferenceSession.create(new Uint8Array(graph), {
    executionProviders: ["wasm"],
    // Weights in 8 bits are restored once, when the graph is loaded, instead of each time that it runs.
    extra: { session: { disable_quant_qdq: "1" } },
  });
}

/** Wrap a network of one square picture. */
function network(session, side) {
  const run = async (picture) => {
    const given = new Tensor("float32", picture, [1, side, side, 3]);
    const outputs = await session.run({ [session.inputNames[0]]: given });
    return session.outputNames.map((name) => outputs[name].data);
  };
  return { run, side };
}

/** Fetch a file that is stored compressed by gzip; a server may have decompressed it on the way. */
async function fetchFile(name, report) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name} cannot be loaded: the server answers ${answer.status}`);
  const pieces = [];
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    report(value.length);
  }
  const content = new Blob(pieces);
  const [first, second] = new Uint8Array(await content.slice(0, 2).arrayBuffer());
  const compressed = first === 0x1f && second === 0x8b;
  const stream = compressed ? content.stream().pipeThrough(new DecompressionStream("gzip")) : content.stream();
  return new Response(stream).arrayBuffer();
}
