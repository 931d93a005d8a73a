# The report's browser tests need Chromium: install Debian's where that is possible, else those tests skip.
command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing Chromium for the browser tests"
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver) >/dev/null 2>&1 ||
    echo "Chromium could not be installed; the browser tests will be skipped"
else
  echo "no Chromium here, and no right to install it; the browser tests will be skipped"
fi
exit 0
