// Package giteatest is a Gitea for tests of the runner: the Actions API over
// real HTTP, behaving as Gitea 1.24, 1.26 or 1.27 does, traps included, with
// faults by request and a look at what the Actions page would show. It stores
// nothing and checks no permissions.
package giteatest
