import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type ContainerConfigSchema,
  type CRIConnection,
  connectCRI,
  create,
  type MessageInitShape,
  type PodSandboxConfig,
  PodSandboxConfigSchema,
  upload,
} from "@hawser/cri";
import { type PartialConfig, removeEverything, startRuntime } from "@hawser/runtime";
import { createLogger } from "@hawser/trace";
import { podAddresses } from "./addresses.ts";
import { type ImageOptions, inChunks, makeArchive } from "./image.ts";

export const image = "hawser.test/tools:latest";

export type OCIRuntimeName = "crun" | "runc";

/** A runtime of its own for one test file, in this process, with a client and the test image. */
export interface TestRuntime extends AsyncDisposable {
  root: string;
  cri: CRIConnection;
  load(options: ImageOptions): Promise<void>;
  /** Ends the runtime, and starts another on the same root, with other settings if they are given. */
  restart(config?: PartialConfig): Promise<void>;
}

export async function startTestRuntime(
  options: { ociRuntime?: OCIRuntimeName; config?: PartialConfig } = {},
): Promise<TestRuntime> {
  await using stack = new AsyncDisposableStack();
  const root = await mkdtemp(path.join(tmpdir(), "hawser-crun-"));
  stack.defer(async () => {
    await removeEverything(root);
    await rm(root, { recursive: true, force: true }); // not after a failure: something may be mounted below
  });
  const socketPath = path.join(root, "run.sock");
  const settings = testConfig();
  const start = (config: PartialConfig = {}) =>
    startRuntime({
      root,
      socketPath,
      ociRuntime: options.ociRuntime,
      config: { ...settings, ...config },
      log: createLogger({ name: "runtime", verbosity: Number(process.env.HAWSER_TEST_V ?? 0) }),
    });
  let runtime = await start(options.config);
  stack.defer(() => runtime[Symbol.asyncDispose]());
  let cri = await connectCRI({ endpoint: `unix://${socketPath}` });
  stack.defer(() => cri.close());
  const load = async (given: ImageOptions) => {
    const archive = await makeArchive(given);
    await upload({ endpoint: `unix://${socketPath}`, path: "/hawser.v1.Images/Load", chunks: inChunks(archive) });
  };
  await load({ name: image });
  const held = stack.move();
  return {
    root,
    get cri() {
      return cri;
    },
    load,
    async restart(config) {
      cri.close();
      await runtime[Symbol.asyncDispose]();
      runtime = await start(config ?? options.config);
      cri = await connectCRI({ endpoint: `unix://${socketPath}` });
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** Its own addresses for each runtime, so that test files can run side by side. */
export function testConfig() {
  const catatonit = path.resolve(import.meta.dirname, "../../../.cache/peers/catatonit/usr/bin");
  if (!process.env.PATH?.includes(catatonit)) process.env.PATH += `:${catatonit}`;
  return { podCIDR: podAddresses() };
}

let serial = 0;

type Init<Message> = Omit<Exclude<Message, { $typeName: string }>, "$typeName" | "$unknown">;

export function sandboxConfig(extra: Init<MessageInitShape<typeof PodSandboxConfigSchema>> = {}): PodSandboxConfig {
  const name = `pod-${++serial}`;
  const metadata = { name, namespace: "default", uid: `uid-${name}`, attempt: 0 };
  return create(PodSandboxConfigSchema, { metadata, hostname: name, ...extra });
}

/** A sandbox with one started container. */
export async function startContainer(
  cri: CRIConnection,
  container: Init<MessageInitShape<typeof ContainerConfigSchema>> = {},
  sandbox = sandboxConfig(),
): Promise<{ podSandboxId: string; containerId: string }> {
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config: sandbox });
  const { containerId } = await cri.runtime.createContainer({
    podSandboxId,
    config: { metadata: { name: "main", attempt: 0 }, image: { image }, ...container },
    sandboxConfig: sandbox,
  });
  await cri.runtime.startContainer({ containerId });
  return { podSandboxId, containerId };
}

export async function sh(cri: CRIConnection, containerId: string, script: string, timeout = 20n) {
  const { stdout, stderr, exitCode } = await cri.runtime.execSync({ containerId, cmd: ["sh", "-c", script], timeout });
  return { stdout: Buffer.from(stdout).toString(), stderr: Buffer.from(stderr).toString(), exitCode };
}
