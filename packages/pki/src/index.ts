export { type CertificateOptions, createCA, createCSR, issueCertificate, signCSR, type Usage } from "./ca.ts";
export { belongsTo, type CertificateInfo, fingerprint, readCertificate, subjectOf } from "./certificate.ts";
export { createKey, type KeyPair } from "./key.ts";
export type { AlternativeNames, Subject } from "./subject.ts";
