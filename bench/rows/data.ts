// Data that a runtime moves by itself: an image from a registry into its store, and a container's output into its log.
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { ContainerState, type CRIConnection, connectCRI } from "@hawser/cri";
import { startRegistry } from "@hawser/testing";
import { architecture, packRoot } from "../../conformance/root-of-programs.ts";
import { imageArchive } from "../../scripts/image-archive.ts";
import { pushArchive } from "../../scripts/push-image.ts";
import { type CRIPeer, logDirectory, openPod } from "../cri-pod.ts";
import { race, timed } from "../measure.ts";
import type { Row } from "../table.ts";
import type { Effort } from "./cri.ts";

/** The images: files of so many bytes, half of which gzip can pack, in so many layers. */
const files = 2000;
const fileBytes = 64 * 1024;
const manyLayers = 20;
/** Short lines that a container writes. */
const lines = 2_000_000;

export async function dataRows(peers: readonly CRIPeer[], { runs, signal }: Effort): Promise<Row[]> {
  const few = Math.max(2, Math.ceil(runs / 10));
  await using single = await serveLargeImage();
  await using layered = await serveLargeImage(manyLayers);
  const volume = files * fileBytes;
  const pull = (reference: string) => async (peer: CRIPeer) => {
    using cri = await connectCRI({ endpoint: peer.endpoint });
    const image = { image: reference };
    const took = await timed(() => cri.images.pullImage({ image }, { signal }));
    await cri.images.removeImage({ image });
    return volume / 1e3 / took;
  };
  const contestants = (run: (peer: CRIPeer) => Promise<number>) =>
    peers.map((peer) => ({ name: peer.name, run: () => run(peer) }));
  return [
    {
      title: "an image pulled and unpacked, 131 MB in 2,000 files, MB/s",
      cells: await race(contestants(pull(single.reference)), { unit: "MB/s", runs: few, signal, warmUp: 1 }),
    },
    {
      title: `the same in ${manyLayers} layers, MB/s`,
      cells: await race(contestants(pull(layered.reference)), { unit: "MB/s", runs: few, signal, warmUp: 1 }),
    },
    {
      title: "a container's log, short lines, MB/s",
      cells: await race(contestants(logRate), { unit: "MB/s", runs: few, signal, warmUp: 0 }),
    },
  ];
}

/** A registry that has the image, in so many layers, until disposed. */
export async function serveLargeImage(layers = 1): Promise<AsyncDisposable & { reference: string }> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await startRegistry());
  const reference = `${registry.host}/bench/large:latest`;
  await pushArchive({ archive: Readable.from([await largeImage(layers)]), reference });
  const held = stack.move();
  return { reference, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function largeImage(count: number): Promise<Buffer> {
  const layers: Buffer[] = [];
  for (let n = 0; n < count; n++) layers.push(await layerOf(n * (files / count), (n + 1) * (files / count)));
  return await imageArchive({ name: "bench/large:latest", architecture, settings: {}, layers, compress: true });
}

async function layerOf(first: number, end: number): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-bench-image-"));
  try {
    await mkdir(join(folder, "data"));
    await symlink("data", join(folder, "link"));
    for (let n = first; n < end; n++) {
      const bytes = Buffer.alloc(fileBytes, `line ${n}\n`);
      randomBytes(fileBytes / 2).copy(bytes);
      await writeFile(join(folder, "data", `${n}`), bytes);
    }
    return await packRoot(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Bytes of output a second, from the start of the container until all of it is in the log. */
async function logRate(peer: CRIPeer): Promise<number> {
  await using pod = await openPod(peer);
  const { status } = await pod.cri.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
  const name = status?.metadata?.name ?? "";
  const folder = logDirectory(name);
  const { containerId } = await pod.cri.runtime.createContainer({
    podSandboxId: pod.podSandboxId,
    config: {
      metadata: { name: "log", attempt: 0 },
      image: { image: peer.image },
      command: ["seq", String(lines)],
      logPath: "log",
      linux: {},
    },
    sandboxConfig: {
      ...(status?.metadata && { metadata: status.metadata }),
      logDirectory: folder,
      linux: { cgroupParent: `${peer.cgroupParent}/${name}` },
    },
  });
  try {
    const took = await timed(async () => {
      await pod.cri.runtime.startContainer({ containerId });
      await ended(pod.cri, containerId);
    });
    // Each line has got a time, a stream and a tag before it: 39 to 45 bytes.
    const { size } = await stat(join(folder, "log"));
    if (size < lines * 40) throw new Error(`the log has ${size} bytes, too few for ${lines} lines`);
    return size / 1e3 / took;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function ended(cri: CRIConnection, containerId: string): Promise<void> {
  for (;;) {
    const { status } = await cri.runtime.containerStatus({ containerId });
    if (status?.state === ContainerState.CONTAINER_EXITED) return;
    await delay(10);
  }
}
