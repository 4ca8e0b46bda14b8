/**
 * What `/version` says. Clients decide by it what they may ask for, so it names the Kubernetes version whose API this is.
 * 1.31 is the first whose kubectl and API server speak WebSockets by default.
 */
export const version = {
  major: "1",
  minor: "31",
  gitVersion: "v1.31.0+hawser",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`,
};
