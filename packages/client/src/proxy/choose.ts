import { BlockList, isIP } from "node:net";
import { KubeconfigError } from "../config/file.ts";

const schemes = ["http:", "https:", "socks5:", "socks5h:"];

/**
 * The proxy a kubeconfig's cluster names. Throws KubeconfigError for what is none.
 *
 * Source: kubernetes/client-go tools/clientcmd/helpers.go parseProxyURL
 */
export function proxyOfCluster(text: string, cluster: string): URL {
  const invalid = (why: string, cause?: unknown) =>
    new KubeconfigError(`invalid configuration: invalid 'proxy-url' "${text}" for cluster "${cluster}": ${why}`, {
      cause,
    });
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw invalid(`could not parse: ${text}`, cause);
  }
  if (!schemes.includes(url.protocol)) {
    throw invalid(`unsupported scheme "${url.protocol.slice(0, -1)}", must be http, https, or socks5`);
  }
  return url;
}

/**
 * The proxy that the environment has for a server: HTTPS_PROXY or HTTP_PROXY by the server's scheme, unless NO_PROXY
 * excepts it. What is on this machine is never asked of a proxy. Throws KubeconfigError for a value that is no URL.
 *
 * Source: golang.org/x/net http/httpproxy, which kubectl obeys
 */
export function proxyOfEnvironment(server: URL, env: NodeJS.ProcessEnv): URL | undefined {
  const name = server.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const value = env[name] || env[name.toLowerCase()];
  if (!value || !mayBeProxied(server, env.NO_PROXY || env.no_proxy || "")) return undefined;
  const url = URL.parse(value.includes("://") ? value : `http://${value}`);
  if (!url || !schemes.includes(url.protocol)) throw new KubeconfigError(`invalid proxy address ${name}="${value}"`);
  return url;
}

function mayBeProxied(server: URL, exceptions: string): boolean {
  const host = bare(server.hostname);
  const port = server.port || (server.protocol === "https:" ? "443" : "80");
  if (host === "localhost" || host.startsWith("127.") || host === "::1") return false;
  return !exceptions
    .split(",")
    .map((text) => text.trim().toLowerCase())
    .filter(Boolean)
    .some((text) => excepts(text, { host, port }));
}

function excepts(text: string, { host, port }: { host: string; port: string }): boolean {
  if (text === "*") return true;
  const range = /^([0-9a-f.:]+)\/(\d+)$/.exec(text);
  if (range?.[1] && isIP(range[1])) return inRange(host, range[1], Number(range[2]));
  const withPort = isIP(text) ? undefined : /^(.+):(\d+)$/.exec(text);
  const pattern = bare(withPort?.[1] ?? text);
  if (withPort && withPort[2] !== port) return false;
  if (isIP(pattern) || isIP(host)) return host === pattern;
  // `example.com` is it and all below it; `.example.com` and `*.example.com` only what is below.
  const below = pattern.replace(/^\*/, "");
  return below.startsWith(".") ? host.endsWith(below) : host === below || host.endsWith(`.${below}`);
}

function inRange(host: string, network: string, prefix: number): boolean {
  const family = isIP(network) === 6 ? "ipv6" : "ipv4";
  if (isIP(host) !== isIP(network) || prefix > (family === "ipv6" ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(network, prefix, family);
  return list.check(host, family);
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}
