import { loadKubeconfig } from "@hawser/client";
import { readPlainFile } from "@hawser/files";
import { createLogger } from "@hawser/trace";
import { help, readCommandLine } from "./flags.ts";
import { startKubelet } from "./kubelet.ts";

/** Largest certificate or key file, bytes. */
const maxPEMBytes = 1024 * 1024;

/** `hawser kubelet …`: runs until SIGTERM or SIGINT. Resolves with the exit code. */
export async function main(argv: string[]): Promise<number> {
  process.title = "hawser-kubelet";
  const complain = (error: unknown) => {
    process.stderr.write(`hawser kubelet: ${error instanceof Error ? error.message : error}\n`);
    return 1;
  };
  let line: Awaited<ReturnType<typeof readCommandLine>>;
  try {
    line = await readCommandLine(argv);
  } catch (error) {
    complain(error);
    process.stderr.write("See hawser kubelet --help\n");
    return 2;
  }
  if (line.help) {
    process.stdout.write(help);
    return 0;
  }
  const log = createLogger({ name: "kubelet", verbosity: line.verbosity });
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  try {
    const { tlsCertFile, tlsPrivateKeyFile, clientCAFile } = line.files;
    if (Boolean(tlsCertFile) !== Boolean(tlsPrivateKeyFile)) {
      throw new Error("--tls-cert-file and --tls-private-key-file belong together");
    }
    const [certPEM, keyPEM, clientCA] = await Promise.all([tlsCertFile, tlsPrivateKeyFile, clientCAFile].map(read));
    const client = await loadKubeconfig({ path: line.kubeconfig });
    await using kubelet = await startKubelet({
      ...line.settings,
      client,
      clientCA,
      ...(certPEM && keyPEM && { serving: { certPEM, keyPEM } }),
      log,
    });
    const { nodeName } = line.settings;
    log.info("serving", { address: line.settings.address, port: kubelet.port, node: nodeName });
    kubelet.ready.then(
      () => log.info("hawser-kubelet ready", { port: kubelet.port, node: nodeName }),
      () => undefined, // stopped before
    );
    log.info("stopping", { signal: await stopped });
  } catch (error) {
    log.error("kubelet ends", { error });
    return complain(error);
  }
  return 0;
}

async function read(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return await readPlainFile(file, maxPEMBytes).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code ? cause : new Error(`${file} ${cause.message}`, { cause });
  });
}
