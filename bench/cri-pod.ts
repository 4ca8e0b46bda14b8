// One pod with one container on a CRI runtime, for as long as its rows are measured.
import { type CRIConnection, connectCRI } from "@hawser/cri";
import { type ClientSession, openRemoteCommand, type UpgradeKind } from "@hawser/streaming";
import { logs } from "./leftovers.ts";

export interface CRIPod extends AsyncDisposable {
  cri: CRIConnection;
  podSandboxId: string;
  containerId: string;
}

export interface CRIPeer {
  /** The column's heading: `containerd + runc`. */
  name: string;
  endpoint: string;
  /** An image with sh, sleep, cat, head, true and wc that the runtime has already. */
  image: string;
  cgroupParent: string;
}

let serial = 0;

/** Where the logs of a pod of that name go. */
export function logDirectory(name: string): string {
  return `${logs}/${name}`;
}

/** RunPodSandbox, CreateContainer, StartContainer: what a kubelet does, with `sleep` as the container. */
export async function startPod(
  cri: CRIConnection,
  peer: CRIPeer,
): Promise<{ podSandboxId: string; containerId: string }> {
  const name = `bench-${process.pid}-${serial++}`;
  const sandboxConfig = {
    metadata: { name, namespace: "bench", uid: name, attempt: 0 },
    logDirectory: logDirectory(name),
    linux: { cgroupParent: `${peer.cgroupParent}/${name}`, securityContext: { namespaceOptions: {} } },
  };
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config: sandboxConfig });
  const { containerId } = await cri.runtime.createContainer({
    podSandboxId,
    config: {
      metadata: { name: "c", attempt: 0 },
      image: { image: peer.image },
      command: ["sleep", "100000"],
      logPath: "c.log",
      linux: {},
    },
    sandboxConfig,
  });
  await cri.runtime.startContainer({ containerId });
  return { podSandboxId, containerId };
}

export async function removePod(cri: CRIConnection, podSandboxId: string): Promise<void> {
  await cri.runtime.stopPodSandbox({ podSandboxId });
  await cri.runtime.removePodSandbox({ podSandboxId });
}

export async function openPod(peer: CRIPeer): Promise<CRIPod> {
  const cri = await connectCRI({ endpoint: peer.endpoint });
  try {
    const pod = await startPod(cri, peer);
    const dispose = async () => {
      await removePod(cri, pod.podSandboxId);
      cri.close();
    };
    return { cri, ...pod, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    cri.close();
    throw error;
  }
}

/** An exec by RPC and by the URL that the runtime gives, in the container of the pod. */
export async function openExec(
  { cri, containerId }: CRIPod,
  cmd: string[],
  how: { transport: UpgradeKind; stdin: boolean },
): Promise<ClientSession> {
  const streams = { stdin: how.stdin, stdout: true, stderr: false, tty: false };
  const { url } = await cri.runtime.exec({ containerId, cmd, ...streams });
  return openRemoteCommand({ url: new URL(url) }, { ...streams, transports: [how.transport] });
}

/** Throws unless the command has ended with exit code 0. */
export async function succeeded(status: Promise<{ status: string; message?: string }>): Promise<void> {
  const { status: outcome, message } = await status;
  if (outcome !== "Success") throw new Error(message ?? outcome);
}
