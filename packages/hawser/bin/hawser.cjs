#!/usr/bin/env node
// @ts-check
"use strict";
// The `hawser` command: plain CommonJS that any Node since 14 can read. It finds a Node new enough and starts the
// program: the bundle if there is one, the sources of a checkout otherwise.
const fs = require("node:fs");
const { dirname, join } = require("node:path");

const wanted = { major: 24, minor: 15 };
/**
 * Of a source and of code behind it.
 *
 * @typedef {(code: Buffer) => Buffer} Digest
 */

/** Bytes of the digest that a file of kept code begins with: of the source and of the code behind it. */
const digestBytes = 32;
/** Bytes of such a file; larger ones are neither written nor read. */
const maxKeptBytes = 16 * 1024 * 1024;
const home = join(__dirname, "..");
const bundle = join(home, "dist", "main.cjs");
const source = join(home, "src", "main.ts");
const program = fs.existsSync(bundle) && !process.env.HAWSER_SOURCE ? bundle : source;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major > wanted.major || (major === wanted.major && minor >= wanted.minor)) {
  process.argv[1] = program;
  keepCompiledCode();
  if (program !== bundle) import(source).then((hawser) => hawser.start(), fail);
  else if (process.argv[2] === "exec") startExec();
  else require(bundle).start({ loadWithKeptCode });
} else {
  // A checkout has the pinned Node in its node_modules; an installed package has not.
  const pinned = join(home, "..", "..", "node_modules", ".bin", "node");
  if (fs.existsSync(source) && fs.existsSync(pinned)) respawn(pinned);
  else {
    const where = fs.existsSync(source) ? " (or run `make build` in this checkout, which brings its own)" : "";
    console.error(
      `hawser needs Node ${wanted.major}.${wanted.minor} or later, and this is ${process.version} (${process.execPath}). Install a newer one${where}.`,
    );
    process.exitCode = 1;
  }
}

/** The verb whose start counts most: it has a bundle of its own, and nothing else is loaded. */
function startExec() {
  // It connects for certain. Node reads the authorities it trusts beside us from the moment that TLS is loaded, and we would
  // wait for them later, though the kubeconfig names its own.
  require("node:tls");
  loadWithKeptCode(join(home, "dist", "exec.cjs"), "exec").start();
}

/**
 * Compiled code and stripped types are kept for the next command, which takes a short one a third less time (of the client's
 * verbs loadWithKeptCode() keeps more). In the user's own cache
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

/**
 * The exports of a bundle, a CommonJS file, with the code kept under `name` from a run that ended with exit code 0; where
 * there is none that fits, this run's is kept when it ends so. Node's own cache holds what is compiled when a file is loaded;
 * most functions are compiled when they are first called, which took `hawser exec` 10 ms each time. What is kept lies in the
 * user's own cache folder, beside Node's; where Node is to keep nothing, nothing is.
 *
 * Reads and writes synchronously: at the start there is nothing else to do, at the end nothing else can be done.
 *
 * @param {string} file
 * @param {string} name
 */
function loadWithKeptCode(file, name) {
  const { createRequire, getCompileCacheDir } = require("node:module");
  const load = createRequire(file);
  const folder = getCompileCacheDir();
  if (folder === undefined) return load(file);
  const { createHash, hash } = require("node:crypto");
  const { Script } = require("node:vm");
  const opening = "(function (exports, require, module, __filename, __dirname) {";
  const source = Buffer.concat([Buffer.from(opening), fs.readFileSync(file), Buffer.from("\n})")]);
  /** @type {Digest} */
  const digestOf = (code) => createHash("sha256").update(source).update(code).digest();
  const kept = join(folder, `${name}-${hash("sha256", file).slice(0, 8)}.code`);
  const cachedData = readKept(kept, digestOf);
  // One string, and nothing joined to it: V8 would copy it. The build writes ASCII alone.
  const script = new Script(source.toString("latin1"), { filename: file, cachedData });
  if (!cachedData || script.cachedDataRejected) {
    process.once("exit", (code) => {
      if (code === 0) keep(kept, script.createCachedData(), digestOf);
    });
  }
  const module = { exports: {} };
  script.runInThisContext().call(module.exports, module.exports, load, module, file, dirname(file));
  return module.exports;
}

/**
 * V8 trusts what it is given: nothing that was written for another source, or not to its end, may reach it.
 *
 * @param {string} kept
 * @param {Digest} digestOf
 */
function readKept(kept, digestOf) {
  try {
    if (fs.statSync(kept).size > maxKeptBytes) return undefined;
    const bytes = fs.readFileSync(kept);
    const code = bytes.subarray(digestBytes);
    return digestOf(code).equals(bytes.subarray(0, digestBytes)) ? code : undefined;
  } catch {
    return undefined; // not there, or not to be read: it is compiled as the first time
  }
}

/**
 * A command that cannot keep its code is none the worse for it.
 *
 * @param {string} kept
 * @param {Buffer} code
 * @param {Digest} digestOf
 */
function keep(kept, code, digestOf) {
  if (code.length > maxKeptBytes - digestBytes) return;
  try {
    const aside = fs.mkdtempSync(`${kept}.`);
    try {
      const whole = join(aside, "code");
      fs.writeFileSync(whole, Buffer.concat([digestOf(code), code]), { mode: 0o600 });
      fs.renameSync(whole, kept);
    } finally {
      fs.rmSync(aside, { recursive: true, force: true });
    }
  } catch {
    // a full or read-only disk
  }
}

/**
 * Whether it is this user's, or not there.
 *
 * @param {string | undefined} path
 */
function isOwn(path) {
  try {
    const found = path && fs.statSync(path, { throwIfNoEntry: false });
    return !found || found.uid === process.geteuid?.();
  } catch {
    return false; // not even to be looked at
  }
}

/** @param {unknown} err */
function fail(err) {
  console.error(err);
  process.exit(1);
}

/**
 * Runs the same command under `node`, with this process's stdio, and ends as it ends.
 *
 * @param {string} node
 */
function respawn(node) {
  const child = require("node:child_process").spawn(node, [program, ...process.argv.slice(2)], { stdio: "inherit" });
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  /** @type {NodeJS.Signals[]} */
  const passedOn = ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR2", "SIGCONT"];
  for (const signal of passedOn) {
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
