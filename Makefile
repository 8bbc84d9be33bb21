# The two commands of the README. Each sets up what it needs by itself.
.PHONY: demo test setup lint

setup:
	@./setup

test: setup
	swift build --build-tests
	swift test --skip-build

lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests
