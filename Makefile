# The two commands of the README. Each sets up what it needs by itself.
.PHONY: demo test setup lint demo-picture serve test-clients serve-picture reliability

demo: setup
	swift build -c release --product omma
	.build/release/omma demo

test: setup
	swift build --build-tests
	OMP_NUM_THREADS=1 Tests/run.sh

setup:
	@./setup

# The table of faults that the tests inject, in docs/reliability.md.
reliability: setup
	swift build --build-tests
	OMP_NUM_THREADS=1 Tests/run.sh > .build/test.log 2>&1 || { tail -3 .build/test.log; exit 1; }
	Tests/reliability.sh .build/test.log

# The server and its page, with the embedded model.
serve: setup
	swift build -c release --product omma
	.build/release/omma serve --open

# Clients that others wrote against the server: OpenAI's library, schemathesis, Chromium. Gets them by itself.
test-clients: setup
	swift build --product omma
	Tests/Clients/run.sh

lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

# The README's picture of the demo's page; DEMO_SEED chooses its pictures. Needs Chromium.
DEMO_SEED ?= 7
demo-picture: setup
	swift build -c release --product omma
	.build/release/omma demo --seed $(DEMO_SEED) --out out/demo-picture
	mkdir -p docs
	$$(command -v chromium || command -v google-chrome) --headless --no-sandbox --disable-gpu --hide-scrollbars \
	  --window-size=1240,1080 --screenshot=docs/demo.png "file://$(CURDIR)/out/demo-picture/index.html"

# The README's picture of the server's page.
serve-picture: setup
	swift build --product omma
	mkdir -p docs out/page
	EXAMPLES=1 SCREENSHOTS=out/page Tests/Clients/run.sh
	cp out/page/page-wide-light.png docs/serve.png
