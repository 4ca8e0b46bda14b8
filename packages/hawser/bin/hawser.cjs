#!/usr/bin/env node
"use strict";
// The `hawser` command: plain CommonJS that any Node since 14 can read. It finds a Node new enough and starts the
// program: the bundle if there is one, the sources of a checkout otherwise.
const { existsSync, statSync } = require("node:fs");
const { join } = require("node:path");

const wanted = [24, 15];
const home = join(__dirname, "..");
const bundle = join(home, "dist", "main.cjs");
const source = join(home, "src", "main.ts");
const program = existsSync(bundle) && !process.env.HAWSER_SOURCE ? bundle : source;

const [major, minor] = process.versions.node.split(".").map(Number);
if (major > wanted[0] || (major === wanted[0] && minor >= wanted[1])) {
  process.argv[1] = program;
  keepCompiledCode();
  if (program === bundle) require(bundle).start();
  else {
    import(source).then((hawser) => hawser.start(), fail);
  }
} else {
  // A checkout has the pinned Node in its node_modules; an installed package has not.
  const pinned = join(home, "..", "..", "node_modules", ".bin", "node");
  if (existsSync(source) && existsSync(pinned)) respawn(pinned);
  else {
    const where = existsSync(source) ? " (or run `make build` in this checkout, which brings its own)" : "";
    console.error(
      `hawser needs Node ${wanted.join(".")} or later, and this is ${process.version} (${process.execPath}). Install a newer one${where}.`,
    );
    process.exitCode = 1;
  }
}

/**
 * Compiled code and stripped types are kept for the next command, which takes a short one a third less time (of the client's
 * verbs src/kept-code.ts keeps more). In the user's own cache
 * folder, and not in the temporary one that Node would take: what lies there, others may have written. Nor in a folder
 * that is another user's, as HOME is for who became root with `sudo -E`.
 */
function keepCompiledCode() {
  const { HOME, XDG_CACHE_HOME, NODE_COMPILE_CACHE } = process.env;
  const cache = XDG_CACHE_HOME || (HOME && join(HOME, ".cache"));
  if (!cache || NODE_COMPILE_CACHE) return;
  const folder = join(cache, "hawser");
  if ([HOME, cache, folder].every(isOwn)) require("node:module").enableCompileCache(folder);
}

/** Whether it is this user's, or not there. */
function isOwn(path) {
  try {
    const found = path && statSync(path, { throwIfNoEntry: false });
    return !found || found.uid === process.geteuid();
  } catch {
    return false; // not even to be looked at
  }
}

function fail(err) {
  console.error(err);
  process.exit(1);
}

/** Runs the same command under `node`, with this process's stdio, and ends as it ends. */
function respawn(node) {
  const child = require("node:child_process").spawn(node, [program, ...process.argv.slice(2)], { stdio: "inherit" });
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR2", "SIGCONT"]) {
    // A terminal sends its signals to the child too: passed on, each would arrive twice.
    const fromTerminal = onTerminal && (signal === "SIGINT" || signal === "SIGQUIT");
    process.on(signal, () => fromTerminal || child.kill(signal));
  }
  child.on("error", (err) => {
    console.error(`hawser: cannot start ${node}: ${err.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
