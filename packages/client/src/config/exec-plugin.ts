import { spawn } from "node:child_process";
import { CredentialError } from "./credentials.ts";
import type { Cluster, ExecConfig } from "./file.ts";

/** Bytes of a plugin's answer. */
const maxAnswerBytes = 1024 * 1024;
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

const versions = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/**
 * A credential plugin: run when first asked, when its credential has expired and when `stale` says it was refused;
 * otherwise its last answer. Throws the signal's reason on abort; the run goes on for those who still wait. It inherits stderr, and stdin where its interactiveMode allows and there is a terminal.
 *
 * Source: kubernetes/client-go plugin/pkg/client/auth/exec/exec.go
 */
export function execPlugin({ config, cluster, now }: ExecSource) {
  let last: (ExecCredential & { expires: number }) | undefined;
  let running: Promise<ExecCredential & { expires: number }> | undefined;
  return async (options: { stale?: boolean; signal?: AbortSignal } = {}): Promise<ExecCredential> => {
    const { stale = false, signal } = options;
    signal?.throwIfAborted();
    if (last && !stale && now() < last.expires) return last;
    // Callers that come while it runs wait for the same run, so the signal of one must not end it for the others.
    running ??= run(config, cluster)
      .then((credential) => {
        last = credential;
        return credential;
      })
      .finally(() => {
        running = undefined;
      });
    return orAborted(running, signal);
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

async function run(config: ExecConfig, cluster: Cluster): Promise<ExecCredential & { expires: number }> {
  const apiVersion = config.apiVersion ?? "";
  if (!versions.includes(apiVersion)) {
    throw new CredentialError(`exec plugin: invalid apiVersion "${apiVersion}"`);
  }
  const interactive = isInteractive(config);
  const info = {
    kind: "ExecCredential",
    apiVersion,
    spec: { ...(config.provideClusterInfo && { cluster: clusterInfo(cluster) }), interactive },
  };
  const env = { ...process.env, ...Object.fromEntries((config.env ?? []).map(({ name, value }) => [name, value])) };
  const text = await output(config, { ...env, KUBERNETES_EXEC_INFO: JSON.stringify(info) }, interactive);
  return credentialOf(text, apiVersion);
}

function isInteractive({ interactiveMode = "IfAvailable" }: ExecConfig): boolean {
  const terminal = process.stdin.isTTY === true;
  if (interactiveMode === "Always" && !terminal) {
    throw new CredentialError("exec plugin cannot support interactive mode: standard input is not a terminal");
  }
  return interactiveMode !== "Never" && terminal;
}

function output(
  { command, args, installHint }: ExecConfig,
  env: NodeJS.ProcessEnv,
  interactive: boolean,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args ?? [], { env, stdio: [interactive ? "inherit" : "ignore", "pipe", "inherit"] });
    const parts: Buffer[] = [];
    let length = 0;
    child.stdout?.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > maxAnswerBytes) child.kill();
      else parts.push(chunk);
    });
    child.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "ENOENT" ? `executable ${command} not found` : cause.message;
      const hint = installHint ? `\n\n${installHint}` : "";
      reject(new CredentialError(`getting credentials: exec: ${why}${hint}`, { cause }));
    });
    child.once("close", (code, signal) => {
      if (length > maxAnswerBytes)
        reject(new CredentialError(`exec plugin: ${command} answered more than ${maxAnswerBytes} bytes`));
      else if (code === 0) resolve(Buffer.concat(parts).toString("utf8"));
      else
        reject(
          new CredentialError(
            `getting credentials: exec: executable ${command} failed with ${signal ? `signal ${signal}` : `exit code ${code}`}`,
          ),
        );
    });
  });
}

interface Answer {
  kind?: unknown;
  apiVersion?: unknown;
  status?: { token?: unknown; clientCertificateData?: unknown; clientKeyData?: unknown; expirationTimestamp?: unknown };
}

function credentialOf(text: string, apiVersion: string): ExecCredential & { expires: number } {
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
  const { token, clientCertificateData: certificate, clientKeyData: key, expirationTimestamp } = answer.status ?? {};
  if (typeof token !== "string" && !(typeof certificate === "string" && typeof key === "string")) {
    throw new CredentialError("getting credentials: exec plugin didn't return a token or cert/key pair");
  }
  if ((typeof certificate === "string") !== (typeof key === "string")) {
    throw new CredentialError("getting credentials: exec plugin returned only certificate or key, not both");
  }
  const expires = typeof expirationTimestamp === "string" ? Date.parse(expirationTimestamp) : Number.NaN;
  return {
    ...(typeof token === "string" && { token }),
    ...(typeof certificate === "string" && { certificate }),
    ...(typeof key === "string" && { key }),
    expires: Number.isNaN(expires) ? Number.POSITIVE_INFINITY : expires - expiryMarginMs,
  };
}

function clusterInfo(cluster: Cluster): Record<string, unknown> {
  return {
    server: cluster.server,
    ...(cluster["tls-server-name"] && { "tls-server-name": cluster["tls-server-name"] }),
    ...(cluster["insecure-skip-tls-verify"] && { "insecure-skip-tls-verify": true }),
    ...(cluster["certificate-authority-data"] && {
      "certificate-authority-data": cluster["certificate-authority-data"],
    }),
    config: null,
  };
}
