import { isLoopback } from "./loopback.ts";

/** A server that may have a registry's images. */
export interface RegistryHost {
  /** The URL below which repositories lie: `https://registry-1.docker.io/v2/`. */
  base: URL;
  /** Whose credentials it takes. */
  name: string;
  /** Set for a mirror: the registry it stands for, which it is told as `?ns=`. */
  mirrorOf?: string;
}

export interface HostsConfig {
  /**
   * Where to look first, by registry (`docker.io`), `*` for every other one: `http://127.0.0.1:5000`, or a host alone.
   * The registry itself comes last.
   */
  mirrors?: Readonly<Record<string, readonly string[]>>;
  /** Registries (`host:port`) spoken to by plain http. Loopback addresses are, always. */
  insecureRegistries?: readonly string[];
}

/** Docker Hub's registry does not live under its name. */
const realHosts: Record<string, string> = { "docker.io": "registry-1.docker.io" };

/**
 * The servers to ask for a registry's images, in order.
 * A mirror written with `http://` is meant to be spoken to so; without a scheme the rule of insecureRegistries holds.
 * Throws an Error for a mirror that is no URL.
 */
export function hostsFor(registry: string, { mirrors = {}, insecureRegistries = [] }: HostsConfig): RegistryHost[] {
  const plain = (host: string) => insecureRegistries.includes(host) || isLoopback(new URL(`http://${host}`).hostname);
  const baseOf = (address: string): URL => {
    const text = address.includes("://") ? address : `${plain(address) ? "http" : "https"}://${address}`;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (!url || !/^https?:$/.test(url.protocol)) throw new Error(`"${address}" is no registry's URL`);
    url.pathname = `${url.pathname.replace(/\/+$/, "").replace(/\/v2$/, "")}/v2/`;
    return url;
  };
  const found: RegistryHost[] = ((Object.hasOwn(mirrors, registry) ? mirrors[registry] : mirrors["*"]) ?? []).map(
    (address) => {
      const base = baseOf(address);
      return { base, name: base.host, mirrorOf: registry };
    },
  );
  return [...found, { base: baseOf(realHosts[registry] ?? registry), name: registry }];
}
