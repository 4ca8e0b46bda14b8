// Stands where a kubelet should be, with a certificate for the right address that another CA has signed.
// `imposter.ts ADDRESS`; prints its port, and a line for each request, of which there should be none.
import { createServer } from "node:https";
import { createCA, issueCertificate } from "@hawser/pki";

const [address = ""] = process.argv.slice(2);
const ca = await createCA({ commonName: "hawser-ca" });
const names = { commonName: "system:node:imposter", organizations: ["system:nodes"], ipAddresses: [address] };
const { certPEM, keyPEM } = await issueCertificate({ ca, ...names, usages: ["server"] });
const server = createServer({ cert: certPEM, key: keyPEM });
for (const event of ["request", "upgrade"]) server.on(event, () => console.log(`a request came`));
server.listen(0, address, () => {
  const bound = server.address();
  console.log(`port ${typeof bound === "object" ? bound?.port : ""}`);
});
