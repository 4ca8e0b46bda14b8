/** open(2)'s flag for a place in the file system, without what is there being opened: Node does not name it. The same on all of Linux. */
export const O_PATH = 0o10000000;
