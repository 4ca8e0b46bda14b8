import { proxyOfEnvironment } from "../proxy/choose.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { credentials } from "./credentials.ts";

const folder = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * The cluster whose pod we run in, by its service account; undefined when we run in none.
 *
 * Source: kubernetes/client-go rest/config.go InClusterConfig
 */
export async function inClusterConfig(
  env: NodeJS.ProcessEnv,
  { serviceAccount = folder }: { serviceAccount?: string } = {},
): Promise<ClusterConfig | undefined> {
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT;
  if (!host || !port) return undefined;
  const { access, readFile } = await import("node:fs/promises");
  const read = (name: string) => readFile(`${serviceAccount}/${name}`, "utf8").catch(() => undefined);
  const tokenFile = `${serviceAccount}/token`;
  if (
    !(await access(tokenFile).then(
      () => true,
      () => false,
    ))
  )
    return undefined;
  const [ca, namespace] = await Promise.all([read("ca.crt"), read("namespace")]);
  const server = new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`);
  const tls = ca ? { ca } : {};
  const proxy = proxyOfEnvironment(server, env);
  return {
    server,
    namespace: namespace?.trim() || "default",
    tls,
    ...(proxy && { proxy }),
    headers: credentials({ tokenFile }, { name: "service account", cluster: { server: server.href }, tls }).headers,
  };
}
