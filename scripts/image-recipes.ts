/** What an image is made of. */
export interface Recipe {
  /** Debian packages wanted; what they depend on comes along. */
  packages: string[];
  /** Dependencies that only matter to an installed system. */
  without: RegExp;
  files: Record<string, string>;
  links: Record<string, string>;
  directories: Record<string, { mode: number; owner: number }>;
  /** A busybox, whose applets get links. */
  appletsOf?: string;
  /** The image's config, as in OCI. */
  config: Record<string, unknown>;
}

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** www-data's number on every Debian. */
const wwwData = 33;

const accounts = {
  "etc/passwd": `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:${wwwData}:${wwwData}:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
  "etc/group": `root:x:0:
daemon:x:1:
tty:x:5:
www-data:x:${wwwData}:
nogroup:x:65534:
`,
};
const usual = {
  dev: { mode: 0o755, owner: 0 },
  etc: { mode: 0o755, owner: 0 },
  proc: { mode: 0o755, owner: 0 },
  root: { mode: 0o700, owner: 0 },
  run: { mode: 0o755, owner: 0 },
  sys: { mode: 0o755, owner: 0 },
  tmp: { mode: 0o1777, owner: 0 },
  "var/tmp": { mode: 0o1777, owner: 0 },
};

const nginx: Recipe = {
  packages: ["base-files", "bash", "coreutils", "dash", "grep", "gzip", "nginx-light", "sed", "tar"],
  without: new RegExp(
    `^(${[
      "cdebconf|debconf|debianutils|dpkg|gcc-\\d+-base|install-info|lsb-base|mawk|perl-base|sensible-utils|.*-common",
      "iproute2|libbpf.*|libbsd.*|libcap.*|libdb.*|libelf.*|libmnl.*|libtirpc.*|libxtables.*", // of iproute2
      "libcom-err.*|libgssapi.*|libk5crypto.*|libkeyutils.*|libkrb5.*",
      "libbz2.*|liblzma.*|libmd0|libzstd.*", // of dpkg
      "libnginx-mod-.*|nginx-light", // a module, and a name for nginx with modules
    ].join("|")})$`,
  ),
  files: {
    ...accounts,
    "etc/nginx/nginx.conf": `user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;

events {
  worker_connections 768;
}

http {
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  default_type application/octet-stream;
  include /etc/nginx/mime.types;
  access_log /var/log/nginx/access.log;
  include /etc/nginx/conf.d/*.conf;
  include /etc/nginx/sites-enabled/*;
}
`,
    // Debian's own is in nginx-common, with what only an installed system needs.
    "etc/nginx/mime.types": `types {
  text/html html htm shtml;
  text/css css;
  text/plain txt;
  text/xml xml;
  application/javascript js;
  application/json json;
  image/gif gif;
  image/jpeg jpeg jpg;
  image/png png;
  image/svg+xml svg svgz;
  image/x-icon ico;
}
`,
    "etc/nginx/sites-available/default": `server {
  listen 80 default_server;
  server_name _;
  root /var/www/html;
  index index.html;
  location / {
    try_files $uri $uri/ =404;
  }
}
`,
    "var/www/html/index.html": `<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body>
<h1>Welcome to nginx!</h1>
<p>If you see this page, the nginx web server is successfully installed and working.</p>
</body>
</html>
`,
  },
  links: {
    "bin/sh": "dash",
    "etc/nginx/sites-enabled/default": "/etc/nginx/sites-available/default",
    "var/log/nginx/access.log": "/dev/stdout",
    "var/log/nginx/error.log": "/dev/stderr",
  },
  directories: {
    ...usual,
    "etc/nginx/conf.d": { mode: 0o755, owner: 0 },
    "var/lib/nginx": { mode: 0o755, owner: wwwData },
  },
  config: {
    Env: [path],
    Cmd: ["nginx", "-g", "daemon off;"],
    ExposedPorts: { "80/tcp": {} },
    StopSignal: "SIGQUIT",
    WorkingDir: "/",
  },
};

const busybox: Recipe = {
  packages: ["busybox-static"],
  without: /^(?!busybox-static$)/,
  files: accounts,
  links: { "bin/sh": "busybox" },
  directories: usual,
  appletsOf: "bin/busybox",
  config: { Env: [path], Cmd: ["sh"] },
};

export const recipes = { nginx, busybox };
