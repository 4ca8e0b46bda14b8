// The columns of docs/interop.md: every client there is, as a command line in kubectl's words.
import { join } from "node:path";
import { checkout, kubectls } from "@hawser/testing";

export type Transport = "SPDY" | "WebSocket";

export interface Client {
  /** The column's head. */
  name: string;
  /** What it is meant to speak. A verb for which its version cannot is told by what was seen. */
  transport: Transport;
  command(args: string[]): string[];
  env: NodeJS.ProcessEnv;
}

/** The first kubectls that know each variable; those before speak SPDY whatever it says. */
const firstWebSocket = 29;

function switches(transport: Transport): NodeJS.ProcessEnv {
  const value = String(transport === "WebSocket");
  return { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: value, KUBECTL_PORT_FORWARD_WEBSOCKETS: value };
}

/** Every client of this machine. */
export async function allClients(): Promise<Client[]> {
  const clients: Client[] = [];
  for (const { version, minor, path } of await kubectls()) {
    for (const transport of minor < firstWebSocket ? (["SPDY"] as const) : (["SPDY", "WebSocket"] as const)) {
      const name = `kubectl ${version} ${transport}`;
      clients.push({ name, transport, command: (args) => [path, ...args], env: switches(transport) });
    }
  }
  const clientNode = join(import.meta.dirname, "client-node.ts");
  clients.push({
    name: "client-node",
    transport: "WebSocket",
    command: (args) => [process.execPath, clientNode, ...args],
    env: {},
  });
  const hawser = join(checkout, "packages/hawser/bin/hawser.cjs");
  for (const transport of ["SPDY", "WebSocket"] as const) {
    const command = (args: string[]) => [process.execPath, hawser, ...args];
    clients.push({ name: `hawser ${transport}`, transport, command, env: switches(transport) });
  }
  return clients;
}
