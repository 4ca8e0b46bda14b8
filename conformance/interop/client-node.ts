// The genuine @kubernetes/client-node behind a command line in kubectl's words, as its own examples use it.
import { createServer } from "node:net";
import { Attach, Cp, Exec, KubeConfig, Log, PortForward, type V1Status } from "@kubernetes/client-node";

const config = new KubeConfig();
config.loadFromDefault();
const namespace = "default";
const [verb, ...rest] = process.argv.slice(2);
const dash = rest.indexOf("--");
const before = dash < 0 ? rest : rest.slice(0, dash);
const command = dash < 0 ? [] : rest.slice(dash + 1);
const flags = before.filter((word) => word.startsWith("-"));
const words = before.filter((word) => !word.startsWith("-"));
const container = "c";

function exitCode(status: V1Status): number {
  if (status.status === "Success") return 0;
  const cause = status.details?.causes?.find(({ reason }) => reason === "ExitCode");
  return Number(cause?.message ?? 1);
}

async function exec([pod = ""]: string[]): Promise<void> {
  const tty = flags.includes("-it");
  const input = tty || flags.includes("-i");
  if (tty) process.stdin.setRawMode?.(true);
  const status = await new Promise<V1Status>((resolve, reject) => {
    const streams = [process.stdout, tty ? null : process.stderr, input ? process.stdin : null] as const;
    const opened = new Exec(config).exec(namespace, pod, container, command, ...streams, tty, resolve);
    opened.catch((error: unknown) => reject(error instanceof Error ? error : new Error(String(error))));
  });
  if (tty) process.stdin.setRawMode?.(false);
  // What it has written may still be on its way.
  await new Promise((resolve) => process.stdout.write("", resolve));
  process.exit(exitCode(status));
}

async function attach([pod = ""]: string[]): Promise<void> {
  await new Attach(config).attach(namespace, pod, container, process.stdout, process.stderr, process.stdin, false);
}

async function portForward([pod = "", port = ""]: string[]): Promise<void> {
  const forward = new PortForward(config);
  const remote = Number(port.replace(":", ""));
  const server = createServer((socket) => {
    forward.portForward(namespace, pod, [remote], socket, null, socket).catch(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1", () => {
    const { port: local } = server.address() as { port: number }; // it listens on TCP
    console.log(`Forwarding from 127.0.0.1:${local} -> ${remote}`);
  });
}

async function cp([from = "", to = ""]: string[]): Promise<void> {
  const there = from.includes(":") ? from : to;
  const [pod = "", path = ""] = there.split(":");
  if (from.includes(":")) await new Cp(config).cpFromPod(namespace, pod, container, ".", to, path);
  else await new Cp(config).cpToPod(namespace, pod, container, from, path);
}

async function logs([pod = ""]: string[]): Promise<void> {
  const tail = flags.find((flag) => flag.startsWith("--tail="))?.slice("--tail=".length);
  const options = { follow: flags.includes("-f"), ...(tail && { tailLines: Number(tail) }) };
  await new Log(config).log(namespace, pod, container, process.stdout, options);
}

const verbs: Record<string, (words: string[]) => Promise<void>> = {
  exec,
  attach,
  "port-forward": portForward,
  cp,
  logs,
};
await verbs[verb ?? ""]?.(words);
