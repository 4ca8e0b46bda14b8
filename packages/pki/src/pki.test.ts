import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import {
  belongsTo,
  createCA,
  createCSR,
  createKey,
  fingerprint,
  issueCertificate,
  readCertificate,
  signCSR,
} from "./index.ts";

const run = promisify(execFile);

/** Files in a directory that goes with the scope; openssl runs in it. */
async function openssl(files: Record<string, string>) {
  const dir = await mkdtemp(join(tmpdir(), "hawser-pki-"));
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(dir, name), text)));
  return {
    run: async (...args: string[]) => {
      const { stdout, stderr } = await run("openssl", args, { cwd: dir });
      return stdout + stderr;
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true }),
  };
}

test("openssl verifies a leaf for its purpose and host name", async () => {
  const ca = await createCA({ commonName: "test-ca" });
  const leaf = await issueCertificate({
    ca,
    commonName: "system:node:worker",
    organizations: ["system:nodes", "dev"],
    dnsNames: ["worker"],
    ipAddresses: ["192.168.205.11", "::1"],
    usages: ["server"],
  });
  await using ssl = await openssl({ "ca.pem": ca.certPEM, "leaf.pem": leaf.certPEM, "leaf.key": leaf.keyPEM });
  const server = ["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", "sslserver"];
  assert.match(await ssl.run(...server, "-verify_hostname", "worker", "leaf.pem"), /leaf.pem: OK/);
  assert.match(await ssl.run(...server, "-verify_ip", "192.168.205.11", "leaf.pem"), /leaf.pem: OK/);
  await assert.rejects(ssl.run(...server, "-verify_ip", "192.168.205.12", "leaf.pem"), /IP address mismatch/i);
  await assert.rejects(ssl.run("verify", "-CAfile", "ca.pem", "-purpose", "sslclient", "leaf.pem"), /purpose/);
  const text = await ssl.run("x509", "-in", "leaf.pem", "-noout", "-text");
  assert.match(
    text,
    /Subject: O = system:nodes, O = dev, CN = system:node:worker|Subject: O = system:nodes \+ O = dev/,
  );
  assert.match(text, /prime256v1/);
  assert.match(await ssl.run("ec", "-in", "leaf.key", "-check", "-noout"), /EC Key valid/);
});

test("readCertificate reads back what was asked for", async () => {
  const ca = await createCA({ commonName: "test-ca", days: 20 });
  const leaf = await issueCertificate({
    ca,
    commonName: "kubernetes",
    organizations: ["a", "b, O=system:masters"],
    dnsNames: ["localhost", "kubernetes.default.svc"],
    ipAddresses: ["127.0.0.1", "::1"],
    usages: ["server", "client"],
    days: 400,
  });
  const { notBefore, notAfter, serialNumber, ...rest } = readCertificate(leaf.certPEM);
  assert.deepEqual(rest, {
    commonName: "kubernetes",
    organizations: ["a", "b, O=system:masters"],
    issuerCommonName: "test-ca",
    dnsNames: ["localhost", "kubernetes.default.svc"],
    ipAddresses: ["127.0.0.1", "0:0:0:0:0:0:0:1"],
    isCA: false,
    usages: ["server", "client"],
  });
  assert.match(serialNumber, /^[4-7][0-9A-F]{31}$/);
  assert.ok(notBefore.getTime() < Date.now());
  assert.equal(notAfter.getTime(), readCertificate(ca.certPEM).notAfter.getTime(), "a leaf does not outlive its CA");
  assert.ok(readCertificate(ca.certPEM).isCA);
});

test("belongsTo knows another CA's certificate and another key", async () => {
  const [ca, other] = await Promise.all([createCA({ commonName: "ca" }), createCA({ commonName: "ca" })]);
  const leaf = await issueCertificate({ ca, commonName: "x", usages: ["client"] });
  assert.equal(belongsTo(leaf, ca.certPEM), true);
  assert.equal(belongsTo(leaf, other.certPEM), false);
  assert.equal(belongsTo({ ...leaf, keyPEM: other.keyPEM }, ca.certPEM), false);
});

test("our request verifies in openssl, and gets the names its signer gives it", async () => {
  const ca = await createCA({ commonName: "ca" });
  const keyPEM = await createKey();
  const csrPEM = await createCSR({ keyPEM, commonName: "wish", dnsNames: ["wish.example"] });
  await using ssl = await openssl({ "csr.pem": csrPEM });
  assert.match(await ssl.run("req", "-in", "csr.pem", "-verify", "-noout"), /verify OK|self-signature verify OK/i);
  const certPEM = await signCSR({ ca, csrPEM, commonName: "given", usages: ["client"] });
  assert.equal(readCertificate(certPEM).commonName, "given");
  assert.deepEqual(readCertificate(certPEM).dnsNames, []);
  assert.ok(belongsTo({ certPEM, keyPEM }, ca.certPEM));
});

test("a request made by openssl is signed, a forged one refused", async () => {
  const ca = await createCA({ commonName: "ca" });
  await using ssl = await openssl({});
  await ssl.run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-subj", "/CN=u", "-out", "r.pem");
  const csrPEM = await ssl.run("req", "-in", "r.pem");
  assert.equal(readCertificate(await signCSR({ ca, csrPEM, commonName: "u", usages: ["client"] })).commonName, "u");
  const der = Buffer.from(csrPEM.replace(/-----.*-----/g, ""), "base64");
  der[der.length - 1] = (der.at(-1) ?? 0) ^ 1;
  const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
  await assert.rejects(signCSR({ ca, csrPEM: forged, commonName: "u", usages: ["client"] }), /does not verify/);
});

test("fingerprint is openssl's", async () => {
  const { certPEM } = await createCA({ commonName: "ca" });
  await using ssl = await openssl({ "c.pem": certPEM });
  const theirs = await ssl.run("x509", "-in", "c.pem", "-noout", "-fingerprint", "-sha256");
  assert.equal(fingerprint(certPEM), theirs.trim().split("=")[1]?.replaceAll(":", "").toLowerCase());
});

for (const [name, options, message] of [
  ["an address that is none", { commonName: "x", ipAddresses: ["worker"] }, /not an IP address: "worker"/],
  ["an empty name", { commonName: "" }, /empty name/],
  ["a name the library would read as hex", { commonName: "#0500" }, /cannot start with #/],
] as const) {
  test(`issueCertificate refuses ${name}`, async () => {
    const ca = await createCA({ commonName: "ca" });
    await assert.rejects(
      issueCertificate({
        ca,
        ...options,
        ipAddresses: [...("ipAddresses" in options ? options.ipAddresses : [])],
        usages: [],
      }),
      message,
    );
  });
}
