import { CredentialError } from "./credentials.ts";
import type { Cluster, ExecConfig } from "./file.ts";
import { runPlugin } from "./run-plugin.ts";

/** Milliseconds before its expiry at which a credential is taken for expired. */
const expiryMarginMs = 5_000;

export interface ExecSource {
  config: ExecConfig;
  cluster: Cluster;
  now: () => number;
}

export interface ExecCredential {
  token?: string;
  certificate?: string;
  key?: string;
}

type Expiring = ExecCredential & { expires: number };

const versions = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/**
 * A credential plugin: run when first asked, when its credential has expired and when `stale` says it was refused;
 * otherwise its last answer. Throws the signal's reason on abort; the run goes on for those who still wait, and is
 * killed when nobody does. It inherits stderr, and stdin where its interactiveMode allows and there is a terminal.
 *
 * Source: kubernetes/client-go plugin/pkg/client/auth/exec/exec.go
 */
export function execPlugin({ config, cluster, now }: ExecSource) {
  let last: Expiring | undefined;
  let running: { answer: Promise<Expiring>; waiting: number; stop: AbortController } | undefined;

  function start(): NonNullable<typeof running> {
    const stop = new AbortController();
    const answer = run(config, cluster, stop.signal).then((credential) => {
      last = credential;
      return credential;
    });
    const started = { answer, waiting: 0, stop };
    const done = () => {
      if (running === started) running = undefined;
    };
    answer.then(done, done);
    return started;
  }

  return async (options: { stale?: boolean; signal?: AbortSignal } = {}): Promise<ExecCredential> => {
    const { stale = false, signal } = options;
    signal?.throwIfAborted();
    if (last && !stale && now() < last.expires) return last;
    // Callers that come while it runs wait for the same run, so the signal of one must not end it for the others.
    running ??= start();
    const mine = running;
    mine.waiting++;
    try {
      return await orAborted(mine.answer, signal);
    } finally {
      mine.waiting--;
      if (mine.waiting === 0 && signal?.aborted) {
        if (running === mine) running = undefined;
        mine.stop.abort(signal.reason);
      }
    }
  };
}

/** A plugin may ask a person and wait: a caller that gives up does not wait with it. */
async function orAborted<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return answer;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function run(config: ExecConfig, cluster: Cluster, signal: AbortSignal): Promise<Expiring> {
  const { apiVersion = "", provideClusterInfo = false } = config;
  if (!versions.includes(apiVersion)) {
    throw new CredentialError(`exec plugin: invalid apiVersion "${apiVersion}"`);
  }
  const interactive = isInteractive(config);
  const spec = { ...(provideClusterInfo && { cluster: await clusterInfo(cluster) }), interactive };
  const info = JSON.stringify({ kind: "ExecCredential", apiVersion, spec });
  const given = Object.fromEntries((config.env ?? []).map(({ name, value }) => [name, value ?? ""]));
  const env = { ...process.env, ...given, KUBERNETES_EXEC_INFO: info };
  return credentialOf(await runPlugin(config, { env, interactive, signal }), apiVersion);
}

function isInteractive({ interactiveMode = "IfAvailable" }: ExecConfig): boolean {
  const terminal = process.stdin.isTTY === true;
  if (interactiveMode === "Always" && !terminal) {
    throw new CredentialError("exec plugin cannot support interactive mode: standard input is not a terminal");
  }
  return interactiveMode !== "Never" && terminal;
}

interface Answer {
  kind?: unknown;
  apiVersion?: unknown;
  status?: { token?: unknown; clientCertificateData?: unknown; clientKeyData?: unknown; expirationTimestamp?: unknown };
}

function credentialOf(text: string, apiVersion: string): Expiring {
  let answer: Answer;
  try {
    answer = JSON.parse(text) as Answer; // each member is checked below
  } catch (cause) {
    throw new CredentialError("getting credentials: decoding stdout: the plugin's answer is not JSON", { cause });
  }
  if (answer?.kind !== "ExecCredential" || answer.apiVersion !== apiVersion) {
    throw new CredentialError(
      `getting credentials: exec plugin is configured to use API version ${apiVersion}, plugin returned version ${String(answer?.apiVersion)}`,
    );
  }
  const { expirationTimestamp, ...status } = answer.status ?? {};
  const [token, certificate, key] = [status.token, status.clientCertificateData, status.clientKeyData].map(nonEmpty);
  if (!token && !certificate && !key) {
    throw new CredentialError("getting credentials: exec plugin didn't return a token or cert/key pair");
  }
  if (!certificate !== !key) {
    throw new CredentialError("getting credentials: exec plugin returned only certificate or key, not both");
  }
  const expires = typeof expirationTimestamp === "string" ? Date.parse(expirationTimestamp) : undefined;
  if (Number.isNaN(expires)) {
    throw new CredentialError("getting credentials: exec plugin returned an expirationTimestamp that is no time");
  }
  return {
    ...(token && { token }),
    ...(certificate && { certificate }),
    ...(key && { key }),
    expires: expires === undefined ? Number.POSITIVE_INFINITY : expires - expiryMarginMs,
  };
}

function nonEmpty(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Where a kubeconfig keeps what a plugin is to know of its cluster. */
const configExtension = "client.authentication.k8s.io/exec";

/** Source: kubernetes/client-go tools/auth/exec/exec.go, pkg/apis/clientauthentication/v1/types.go */
async function clusterInfo(cluster: Cluster): Promise<Record<string, unknown>> {
  const file = cluster["certificate-authority"];
  let authority = cluster["certificate-authority-data"];
  if (!authority && file) {
    const { readFile } = await import("node:fs/promises");
    authority = (await readFile(file)).toString("base64");
  }
  const config = cluster.extensions?.find(({ name }) => name === configExtension)?.extension;
  return {
    server: cluster.server,
    ...(cluster["tls-server-name"] && { "tls-server-name": cluster["tls-server-name"] }),
    ...(cluster["insecure-skip-tls-verify"] && { "insecure-skip-tls-verify": true }),
    ...(authority && { "certificate-authority-data": authority }),
    ...(cluster["proxy-url"] && { "proxy-url": cluster["proxy-url"] }),
    ...(cluster["disable-compression"] && { "disable-compression": true }),
    config: config ?? null,
  };
}
