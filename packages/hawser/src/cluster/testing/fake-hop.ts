// Stands for an API server or a kubelet where only starting and stopping is tested: says that it is ready and waits.
// `fake-hop.ts DATA_DIR HOP [FAULT]`; the fault "dies" ends it with a word, "stubborn" has it ignore SIGTERM.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createCA } from "@hawser/pki";

const [dataDir = "", hop = "", fault = ""] = process.argv.slice(2);
if (fault === "dies") {
  console.error("no luck today");
  process.exit(7);
}
if (hop === "apiserver") {
  const ca = await createCA({ commonName: "test" });
  await mkdir(join(dataDir, "pki"), { recursive: true });
  await writeFile(join(dataDir, "pki/ca.crt"), ca.certPEM);
  await writeFile(join(dataDir, "pki/ca.key"), ca.keyPEM);
  await writeFile(join(dataDir, "kubeconfig"), "{}");
}
if (fault === "stubborn") process.on("SIGTERM", () => {});
console.log(`hawser-${hop} ready`);
setInterval(() => {}, 60_000);
