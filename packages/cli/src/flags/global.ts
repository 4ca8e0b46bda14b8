import { type Flag, FlagValueError, integer, parseDuration, text, texts, toggle } from "./flag.ts";

/** Milliseconds; 0 for none. A number without a unit is seconds. */
const requestTimeout: Flag<number> = {
  usage:
    "The length of time to wait before giving up on a single server request. Non-zero values should contain a corresponding time unit (e.g. 1s, 2m, 3h). A value of zero means don't timeout requests.",
  initial: 0,
  shown: "'0'",
  take(value) {
    if (/^\d+$/.test(value)) return Number(value) * 1000;
    try {
      return parseDuration(value);
    } catch (cause) {
      const words = `Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)`;
      throw new FlagValueError(words, { cause });
    }
  },
};

/** What every command understands. Source: kubernetes/cli-runtime pkg/genericclioptions/config_flags.go */
export const globalFlags = {
  as: text({
    usage:
      "Username to impersonate for the operation. User could be a regular user or a service account in a namespace.",
  }),
  "as-group": texts({ usage: "Group to impersonate for the operation." }),
  "as-uid": text({ usage: "UID to impersonate for the operation." }),
  "certificate-authority": text({ usage: "Path to a cert file for the certificate authority" }),
  "client-certificate": text({ usage: "Path to a client certificate file for TLS" }),
  "client-key": text({ usage: "Path to a client key file for TLS" }),
  cluster: text({ usage: "The name of the kubeconfig cluster to use" }),
  context: text({ usage: "The name of the kubeconfig context to use" }),
  "insecure-skip-tls-verify": toggle({
    usage:
      "If true, the server's certificate will not be checked for validity. This will make your HTTPS connections insecure",
  }),
  kubeconfig: text({ usage: "Path to the kubeconfig file to use for CLI requests." }),
  namespace: text({ short: "n", usage: "If present, the namespace scope for this CLI request" }),
  password: text({ usage: "Password for basic authentication to the API server" }),
  "request-timeout": requestTimeout,
  server: text({ short: "s", usage: "The address and port of the Kubernetes API server" }),
  "tls-server-name": text({
    usage:
      "Server name to use for server certificate validation. If it is not provided, the hostname used to contact the server is used",
  }),
  token: text({ usage: "Bearer token for authentication to the API server" }),
  user: text({ usage: "The name of the kubeconfig user to use" }),
  username: text({ usage: "Username for basic authentication to the API server" }),
  v: integer({ short: "v", usage: "number for the log level verbosity" }),
};
