import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { issueCertificate, type KeyPair } from "@hawser/pki";
import type { ClusterPaths } from "./paths.ts";
import type { ClusterSettings } from "./settings.ts";

/** The files a kubelet is started with. */
export interface KubeletCredentials {
  kubeconfig: string;
  clientCA: string;
  servingCertificate: string;
  servingKey: string;
}

/**
 * Issues the node's two certificates from the cluster's CA: one by which the kubelet is `system:node:NAME` to the API
 * server, one by which it proves its addresses to whoever calls it. New at every start: addresses change.
 */
export async function issueKubeletCredentials(
  paths: ClusterPaths,
  { nodeName, nodeAddress, apiAddress, apiPort }: ClusterSettings,
): Promise<KubeletCredentials> {
  const caFile = join(paths.pki, "ca.crt");
  const ca: KeyPair = {
    certPEM: await readFile(caFile, "utf8"),
    keyPEM: await readFile(join(paths.pki, "ca.key"), "utf8"),
  };
  const [node, serving] = await Promise.all([
    issueCertificate({
      ca,
      commonName: `system:node:${nodeName}`,
      organizations: ["system:nodes"],
      usages: ["client"],
    }),
    issueCertificate({
      ca,
      commonName: `system:node:${nodeName}`,
      organizations: ["system:nodes"],
      dnsNames: [...new Set([nodeName, "localhost"])],
      ipAddresses: [...new Set([nodeAddress, "127.0.0.1"])],
      usages: ["server"],
    }),
  ]);
  const folder = join(paths.kubeletRoot, "pki");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const credentials = {
    kubeconfig: paths.kubeletKubeconfig,
    clientCA: caFile,
    servingCertificate: join(folder, "kubelet.crt"),
    servingKey: join(folder, "kubelet.key"),
  };
  await Promise.all([
    writeFile(credentials.servingCertificate, serving.certPEM),
    writeFile(credentials.servingKey, serving.keyPEM, { mode: 0o600 }),
    writeFile(credentials.kubeconfig, nodeKubeconfig({ ca, node, server: `https://${apiAddress}:${apiPort}` }), {
      mode: 0o600,
    }),
  ]);
  return credentials;
}

/** JSON, which every reader of YAML reads. */
function nodeKubeconfig({ ca, node, server }: { ca: KeyPair; node: KeyPair; server: string }): string {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "hawser", cluster: { server, "certificate-authority-data": base64(ca.certPEM) } }],
    users: [
      {
        name: "node",
        user: { "client-certificate-data": base64(node.certPEM), "client-key-data": base64(node.keyPEM) },
      },
    ],
    contexts: [{ name: "node", context: { cluster: "hawser", user: "node" } }],
    "current-context": "node",
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
