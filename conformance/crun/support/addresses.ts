/** Of the test runner's test files that run at the same time, which one this is. */
const worker = Number(process.env.NODE_TEST_WORKER_ID ?? 0);
/** 10.100 to 10.199, which real clusters, and ours by default, rarely use: one for each of the files that run at the same time. */
const network = 100 + ((process.ppid * 8 + worker) % 100);
let given = process.pid;

/** A /24 for the pods of one runtime of a test: no other of this run has it, neither in this file nor in one beside it; of another run's, hardly any. */
export function podAddresses(): string {
  return `10.${network}.${given++ % 256}.0/24`;
}
