import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { background } from "./background.ts";
import { peerProgram } from "./checkout.ts";
import { freePort } from "./ports.ts";

/** A genuine registry (Debian's docker-registry) on loopback, over plain HTTP. */
export interface Registry extends AsyncDisposable {
  /** Such as `127.0.0.1:34567`. */
  host: string;
  /** What it has logged: one line per request. */
  log(): string;
}

export interface RegistryOptions {
  /** Put before its command line: a network namespace, for instance. */
  launcher?: ((command: string[]) => string[]) | undefined;
  port?: number | undefined;
  /** Its own `auth` section. Source: distribution docs/configuration.md */
  auth?: Record<string, Record<string, string>>;
}

/** Starts an empty registry. Its storage goes when it is disposed. */
export async function startRegistry({ launcher = (c) => c, port, auth }: RegistryOptions = {}): Promise<Registry> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-registry-"));
  const host = `127.0.0.1:${port ?? (await freePort())}`;
  const config = {
    version: 0.1,
    log: { level: "info", fields: { service: "registry" } },
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    http: { addr: host },
    ...(auth && { auth }),
  };
  const path = join(folder, "config.yml");
  await writeFile(path, JSON.stringify(config));
  const program = peerProgram("docker-registry", "usr/bin/docker-registry");
  const server = background(launcher([program, "serve", path]));
  const dispose = async () => {
    try {
      await server[Symbol.asyncDispose]();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  try {
    await server.saw("listening on");
  } catch (err) {
    await dispose();
    throw err;
  }
  return { host, log: server.output, [Symbol.asyncDispose]: dispose };
}
