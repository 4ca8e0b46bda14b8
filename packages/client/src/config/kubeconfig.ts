import { isIP } from "node:net";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import { proxyOfCluster, proxyOfEnvironment } from "../proxy/choose.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { credentials } from "./credentials.ts";
import { type Cluster, type Context, type Kubeconfig, KubeconfigError, readKubeconfig, type User } from "./file.ts";
import { inClusterConfig } from "./in-cluster.ts";

/** What takes precedence over the kubeconfig: kubectl's global flags. */
export interface ConfigOverrides {
  context?: string | undefined;
  cluster?: string | undefined;
  user?: string | undefined;
  namespace?: string | undefined;
  server?: string | undefined;
  token?: string | undefined;
  certificateAuthority?: string | undefined;
  insecureSkipTLSVerify?: boolean | undefined;
  tlsServerName?: string | undefined;
  clientCertificate?: string | undefined;
  clientKey?: string | undefined;
  username?: string | undefined;
  password?: string | undefined;
  as?: string | undefined;
  asUID?: string | undefined;
  asGroups?: readonly string[] | undefined;
}

export interface LoadOptions extends ConfigOverrides {
  /** A kubeconfig file. Default: KUBECONFIG's list, else ~/.kube/config, else the service account of the pod we run in. */
  path?: string | undefined;
  env?: NodeJS.ProcessEnv | undefined;
}

/**
 * Finds the cluster and who we are. Reads kubeconfig and certificates; runs no credential plugin and connects to nothing.
 * Throws KubeconfigError for what is missing, malformed or not supported (`auth-provider`).
 *
 * Source: kubernetes/client-go tools/clientcmd/client_config.go
 */
export async function loadKubeconfig(options: LoadOptions = {}): Promise<ClusterConfig> {
  const file = await readKubeconfig({ path: options.path, env: options.env });
  const nothing = file.clusters.size === 0 && file.contexts.size === 0 && !options.server && !options.path;
  if (nothing) {
    const inCluster = await inClusterConfig(options.env ?? process.env);
    if (inCluster) return { ...inCluster, namespace: options.namespace || inCluster.namespace };
  }
  return clusterConfig(file, options);
}

/** The cluster of one context of a kubeconfig that was read before. Its proxy may be one that `env` names. */
export async function clusterConfig(
  file: Kubeconfig,
  overrides: ConfigOverrides & { env?: NodeJS.ProcessEnv | undefined } = {},
): Promise<ClusterConfig> {
  const contextName = overrides.context || file.currentContext;
  const context = findContext(file, contextName);
  const clusterName = overrides.cluster || context.cluster;
  const userName = overrides.user || context.user;
  const cluster = withClusterOverrides(found(file.clusters, clusterName, "cluster", overrides.cluster), overrides);
  const user = withUserOverrides(found(file.users, userName, "auth info", overrides.user), overrides);

  const server = serverURL(cluster.server);
  const named = cluster["proxy-url"];
  const proxy = named
    ? proxyOfCluster(named, clusterName ?? "")
    : proxyOfEnvironment(server, overrides.env ?? process.env);
  const tls = await tlsOptions({ cluster, user }, { cluster: clusterName ?? "", user: userName ?? "" });
  return {
    server,
    namespace: overrides.namespace || context.namespace || "default",
    tls,
    ...(proxy && { proxy }),
    headers: credentials(user, { name: userName ?? "", cluster, tls }).headers,
    ...(userName && { user: userName }),
    ...(contextName && { context: contextName }),
    ...(clusterName && { cluster: clusterName }),
  };
}

function findContext(file: Kubeconfig, name: string): Context {
  if (!name) return {};
  const context = file.contexts.get(name);
  if (context) return context;
  throw new KubeconfigError(`context was not found for specified context: ${name}`, { configuration: true });
}

function found<T extends object>(
  map: Map<string, T>,
  name: string | undefined,
  what: string,
  explicit: string | undefined,
): T {
  const value = name ? map.get(name) : undefined;
  if (value) return value;
  if (explicit) throw new KubeconfigError(`${what} "${explicit}" does not exist`);
  if (name) throw new KubeconfigError(`invalid configuration: ${what} "${name}" does not exist`);
  return {} as T; // every member is optional
}

function withClusterOverrides(cluster: Cluster, overrides: ConfigOverrides): Cluster {
  const result = { ...cluster };
  if (overrides.server) result.server = overrides.server;
  if (overrides.tlsServerName) result["tls-server-name"] = overrides.tlsServerName;
  if (overrides.certificateAuthority) {
    result["certificate-authority"] = overrides.certificateAuthority;
    delete result["certificate-authority-data"];
    delete result["insecure-skip-tls-verify"];
  }
  if (overrides.insecureSkipTLSVerify !== undefined) {
    result["insecure-skip-tls-verify"] = overrides.insecureSkipTLSVerify;
    if (overrides.insecureSkipTLSVerify && !overrides.certificateAuthority) {
      delete result["certificate-authority"];
      delete result["certificate-authority-data"];
    }
  }
  return result;
}

function withUserOverrides(user: User, overrides: ConfigOverrides): User {
  const result = { ...user };
  if (overrides.token) {
    result.token = overrides.token;
    delete result.tokenFile;
    delete result.username;
    delete result.password;
    delete result.exec;
  }
  if (overrides.username !== undefined || overrides.password !== undefined) {
    if (overrides.username !== undefined) result.username = overrides.username;
    if (overrides.password !== undefined) result.password = overrides.password;
    if (!overrides.token) delete result.token;
    delete result.tokenFile;
    delete result.exec;
  }
  if (overrides.clientCertificate) {
    result["client-certificate"] = overrides.clientCertificate;
    delete result["client-certificate-data"];
  }
  if (overrides.clientKey) {
    result["client-key"] = overrides.clientKey;
    delete result["client-key-data"];
  }
  if (overrides.as) result.as = overrides.as;
  if (overrides.asUID) result["as-uid"] = overrides.asUID;
  if (overrides.asGroups) result["as-groups"] = [...overrides.asGroups];
  return result;
}

/** Without a cluster kubectl tries http://localhost:8080, and people know the refusal that follows. */
function serverURL(text: string | undefined): URL {
  const full = !text ? "http://localhost:8080" : text.includes("://") ? text : `http://${text}`;
  let url: URL;
  try {
    url = new URL(full);
  } catch (cause) {
    throw new KubeconfigError(`invalid configuration: server "${text}" is not a URL`, { cause });
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new KubeconfigError(
      `invalid configuration: server "${text}": scheme ${url.protocol.slice(0, -1)} is not supported`,
    );
  }
  return url;
}

async function tlsOptions(
  { cluster, user }: { cluster: Cluster; user: User },
  names: { cluster: string; user: string },
): Promise<ConnectionOptions> {
  const insecure = cluster["insecure-skip-tls-verify"] === true;
  const ca = await dataOrFile(cluster["certificate-authority-data"], cluster["certificate-authority"], {
    what: "certificate-authority",
    owner: names.cluster,
  });
  if (insecure && ca) {
    throw new KubeconfigError("specifying a root certificates file with the insecure flag is not allowed");
  }
  if (ca && !ca.includes("-----BEGIN CERTIFICATE-----")) {
    throw new KubeconfigError("unable to load root certificates: unable to parse bytes as PEM block");
  }
  const cert = await dataOrFile(user["client-certificate-data"], user["client-certificate"], {
    what: "client-cert",
    owner: names.user,
  });
  const key = await dataOrFile(user["client-key-data"], user["client-key"], { what: "client-key", owner: names.user });
  if (cert && !key)
    throw new KubeconfigError(
      "invalid configuration: client-key-data or client-key must be specified to use the clientCert authentication method",
    );
  if (key && !cert)
    throw new KubeconfigError("invalid configuration: client-certificate must be specified to use the client key");
  const servername = cluster["tls-server-name"];
  const trusted = ca ?? (insecure ? undefined : await systemAuthorities(cluster.server));
  return {
    ...(trusted && { ca: trusted }),
    ...(insecure && { rejectUnauthorized: false }),
    ...(cert && key && { cert, key }),
    ...(servername && certifiedName(servername)),
  };
}

/** The name, or address, that the server's certificate has to be for. An address is not sent to the server. Source: RFC 6066, section 3 */
function certifiedName(name: string): ConnectionOptions {
  if (!isIP(name)) return { servername: name };
  return { servername: "", checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate) };
}

async function dataOrFile(
  data: string | undefined,
  file: string | undefined,
  { what, owner }: { what: string; owner: string },
): Promise<string | undefined> {
  if (data) return Buffer.from(data, "base64").toString("utf8");
  if (!file) return undefined;
  const { readFile } = await import("node:fs/promises");
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT" ? "no such file or directory" : code === "EACCES" ? "permission denied" : String(code);
    throw new KubeconfigError(`unable to read ${what} ${file} for ${owner} due to open ${file}: ${why}`, { cause });
  }
}

/** Where the kubeconfig names no authority the machine's own are meant, as in Go; Node would only take those it brings. */
async function systemAuthorities(server: string | undefined): Promise<string[] | undefined> {
  if (!server?.startsWith("https:")) return undefined;
  const { getCACertificates } = await import("node:tls");
  return [...new Set([...getCACertificates("system"), ...getCACertificates("default")])];
}
