package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
)

// A unit of a figure.
type unit string

const (
	seconds      unit = "s"
	milliseconds unit = "ms"
	megabytes    unit = "MB"
	perSecond    unit = "/s"
)

// of writes a number of the unit, with as many decimals as tell something.
func (u unit) of(v float64) string {
	decimals := map[unit]int{seconds: 2, milliseconds: 0, megabytes: 1, perSecond: 2}
	return strconv.FormatFloat(v, 'f', decimals[u], 64)
}

// A figure is one line of the table. It has one target, met at or below it.
type figure struct {
	Name        string
	Unit        unit
	Target      float64              `json:",omitempty"` // of ours
	TargetRatio float64              `json:",omitempty"` // of ours to the official runner's
	Samples     map[string][]float64 // by the runner's name
	Note        string               `json:",omitempty"`
	Failed      string               `json:",omitempty"` // why no sample could meet the target
}

func (f *figure) add(runner string, samples ...float64) {
	if f.Samples == nil {
		f.Samples = map[string][]float64{}
	}
	f.Samples[runner] = append(f.Samples[runner], samples...)
}

func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// cell is the median, with the least and the most when they differ.
func (f *figure) cell(runner string) string {
	s := f.Samples[runner]
	if len(s) == 0 {
		return "–"
	}
	text := f.Unit.of(median(s)) + " " + string(f.Unit)
	if least, most := f.Unit.of(slices.Min(s)), f.Unit.of(slices.Max(s)); least != most {
		text += fmt.Sprintf(" (%s–%s)", least, most)
	}
	return text
}

// ratio of ours to the official runner's; 0 when only one was measured.
func (f *figure) ratio() float64 {
	other := median(f.Samples["official"])
	if other == 0 {
		return 0
	}
	return median(f.Samples["cc-ci"]) / other
}

func (f *figure) met() bool {
	if f.Failed != "" {
		return false
	}
	if f.TargetRatio > 0 {
		return f.ratio() <= f.TargetRatio
	}
	return median(f.Samples["cc-ci"]) <= f.Target
}

// columns are the figure's words in the table.
func (f *figure) columns() []string {
	ratio, target, verdict := "–", "", "met"
	if r := f.ratio(); r > 0 {
		ratio = fmt.Sprintf("%.2f", r)
	}
	switch {
	case f.TargetRatio == 1:
		target = "below official"
	case f.TargetRatio > 0:
		target = fmt.Sprintf("≤ %.1f × official", f.TargetRatio)
	default:
		target = fmt.Sprintf("≤ %g %s", f.Target, f.Unit)
	}
	if !f.met() {
		verdict = "NOT MET"
	}
	if note := cmp.Or(f.Failed, f.Note); note != "" {
		verdict += ", " + note
	}
	return []string{f.Name, f.cell("cc-ci"), f.cell("official"), ratio, target, verdict}
}

var heading = []string{"figure: median (least–most)", "cc-ci", "official runner", "ratio", "target", ""}

// A report is what was measured, on what.
type report struct {
	Machine               string
	Official              string // the official runner's version
	Command               string
	LoadBefore, LoadAfter float64
	Figures               []figure
}

func (r *report) add(f figure) { r.Figures = append(r.Figures, f) }

// command is what makes such a report.
func command(p plan) string {
	if p == quick {
		return "make bench BENCHFLAGS=-quick"
	}
	return "make bench"
}

// provenance says in one line where the figures are from.
func (r *report) provenance() string {
	return fmt.Sprintf("%s; load average %.1f before and %.1f after", r.Machine, r.LoadBefore, r.LoadAfter)
}

func (r *report) print(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, columns := range r.table() {
		for _, c := range columns {
			fmt.Fprintf(w, "%s\t", c)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	fmt.Fprintf(to, "\n%s.\n", r.provenance())
}

func (r *report) table() [][]string {
	lines := [][]string{heading}
	for _, f := range r.Figures {
		lines = append(lines, f.columns())
	}
	return lines
}

func (r *report) printJSON(to io.Writer) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// The marks of the table's place in a document.
var begin, end = []byte("<!-- bench:begin -->\n"), []byte("<!-- bench:end -->")

// writeInto puts the table between the marks in a document.
func (r *report) writeInto(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, begin)
	_, after, closed := bytes.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s has no place for the table, between %q and %q", path, begin, end)
	}
	text = slices.Concat(before, begin, r.markdown(), end, after)
	return os.WriteFile(path, text, 0o644)
}

func (r *report) markdown() []byte {
	var b bytes.Buffer
	for i, columns := range r.table() {
		for _, c := range columns {
			fmt.Fprintf(&b, "| %s ", c)
		}
		fmt.Fprintln(&b, "|")
		if i == 0 {
			fmt.Fprintln(&b, "|---|---|---|---|---|---|")
		}
	}
	fmt.Fprintf(&b, "\nMade by `%s` on %s. The machine also ran Gitea, Traefik and the engine. The official runner is %s with its default configuration; its steps ran in the same image.\n",
		r.Command, r.provenance(), r.Official)
	return b.Bytes()
}
