export { type Attack, attacks, type Ended, launch } from "./attacks.ts";
export { type Relay, startRelay } from "./relay.ts";
export { collect, connectedPair, slowSink } from "./streams.ts";
export { listenUpgrades, type UpgradeServer } from "./upgrade-server.ts";
