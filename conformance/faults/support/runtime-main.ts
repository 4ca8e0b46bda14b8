// `hawser runtime` from its sources, for steps.ts to look into: node --import steps.ts runtime-main.ts --root … --socket …
import { main } from "@hawser/runtime/main";

process.exit(await main(process.argv.slice(2)));
