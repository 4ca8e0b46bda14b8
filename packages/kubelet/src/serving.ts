import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { createCA, issueCertificate } from "@hawser/pki";
import type { KubeletSettings } from "./settings.ts";

/**
 * The serving certificate of a kubelet that was given none: made once, kept in `<root>/pki`. Nobody but its owner can know
 * it for genuine; an API server that verifies will refuse it.
 */
export async function servingCertificate({
  rootDir,
  nodeName,
  nodeIP,
}: Pick<KubeletSettings, "rootDir" | "nodeName" | "nodeIP">): Promise<{ certPEM: string; keyPEM: string }> {
  const folder = path.join(rootDir, "pki");
  const files = { cert: path.join(folder, "kubelet.crt"), key: path.join(folder, "kubelet.key") };
  const [certPEM, keyPEM] = await Promise.all(
    [files.cert, files.key].map((file) =>
      readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error; // one that cannot be read is not written over
      }),
    ),
  );
  if (certPEM && keyPEM) return { certPEM, keyPEM };
  const ca = await createCA({ commonName: `${nodeName}-ca` });
  const made = await issueCertificate({
    ca,
    commonName: nodeName,
    dnsNames: [nodeName],
    ipAddresses: [nodeIP],
    usages: ["server"],
  });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(files.key, made.keyPEM, { mode: 0o600 });
  await writeFile(files.cert, made.certPEM, { mode: 0o644 });
  return made;
}
