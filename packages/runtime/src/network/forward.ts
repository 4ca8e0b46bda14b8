import { isIPv6, Socket } from "node:net";
import { closeQuietly, errno, lastError, libc, systemError } from "../native/libc.ts";
import { inNetns } from "./netns.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const EINPROGRESS = 115;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const POLLOUT = 4;
/** How long a loopback connection may take: its listener's queue may be full. Milliseconds. */
export const connectPatience = 10_000;

/**
 * Connects to a port of a pod's loopback: 127.0.0.1, then ::1. The socket is made inside the pod's network namespace, in less
 * than a millisecond and without a helper process, and stays there. Throws with what was tried when nobody listens.
 *
 * Source: containerd/containerd internal/cri/server/sandbox_portforward_linux.go
 */
export async function connectInNetns(netns: string, port: number, signal: AbortSignal): Promise<Socket> {
  const failures: string[] = [];
  for (const address of ["127.0.0.1", "::1"]) {
    try {
      return await connectTo(netns, address, port, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(`${address}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new Error(`failed to connect to localhost:${port} inside the pod: ${failures.join(", ")}`);
}

async function connectTo(netns: string, address: string, port: number, signal: AbortSignal): Promise<Socket> {
  const family = isIPv6(address) ? AF_INET6 : AF_INET;
  const fd = inNetns(netns, () => {
    const made = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0) throw lastError("socket", address);
    return made;
  });
  try {
    const name = socketName(address, port);
    if (libc.connect(fd, name, name.length) < 0) {
      if (errno() !== EINPROGRESS) throw lastError("connect", `${address}:${port}`);
      await connected(fd, signal);
    }
    return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  } catch (error) {
    closeQuietly(fd);
    throw error;
  }
}

/** Waits for a connection under way; on loopback it is mostly decided already. */
async function connected(fd: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + connectPatience;
  const descriptor = Buffer.alloc(8);
  descriptor.writeInt32LE(fd, 0);
  descriptor.writeInt16LE(POLLOUT, 4);
  for (let pause = 1; libc.poll(descriptor, 1, 0) === 0; pause = Math.min(pause * 2, 50)) {
    signal.throwIfAborted();
    if (performance.now() > deadline) throw new Error("connection timed out");
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  const [value, length] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32LE(4);
  if (libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length) < 0) throw lastError("getsockopt", "SO_ERROR");
  const failure = value.readInt32LE();
  if (failure !== 0) throw systemError(failure, "connect", "");
}

/** struct sockaddr_in, sockaddr_in6: of loopback only. */
function socketName(address: string, port: number): Buffer {
  const v6 = isIPv6(address);
  const name = Buffer.alloc(v6 ? 28 : 16);
  name.writeUInt16LE(v6 ? AF_INET6 : AF_INET, 0);
  name.writeUInt16BE(port, 2);
  if (v6) name[23] = 1;
  else name.set([127, 0, 0, 1], 4);
  return name;
}
