import { stringify } from "yaml";
import { readIfThere, writeWhole } from "./files.ts";

interface KubeconfigOptions {
  server: string;
  clusterName?: string;
  userName?: string;
  caPEM: string;
  certPEM: string;
  keyPEM: string;
}

/** A kubeconfig with its certificates inside it. */
export function kubeconfig(options: KubeconfigOptions): string {
  const { server, clusterName = "hawser", userName = "admin", caPEM, certPEM, keyPEM } = options;
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const context = `${userName}@${clusterName}`;
  return stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: clusterName, cluster: { server, "certificate-authority-data": base64(caPEM) } }],
      users: [
        { name: userName, user: { "client-certificate-data": base64(certPEM), "client-key-data": base64(keyPEM) } },
      ],
      contexts: [{ name: context, context: { cluster: clusterName, user: userName } }],
      "current-context": context,
    },
    { lineWidth: 0 },
  );
}

/** A kubeconfig that still says the same stays: people keep their namespace and contexts in it. */
export async function ensureKubeconfig(path: string, wanted: string): Promise<void> {
  const known = (await readIfThere(path)) ?? "";
  const essential = wanted
    .split("\n")
    .filter((line) => /(server|-data):/.test(line))
    .map((line) => line.replace(/^[\s-]*/, ""));
  if (!essential.every((line) => known.includes(line))) await writeWhole(path, wanted);
}
