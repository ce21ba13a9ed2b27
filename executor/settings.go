package executor

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/spell"
)

// Deploy modes: what CC_CI_DEPLOY may say.
const (
	deployAuto   = "auto"
	deployManual = "manual"
)

// The settings a job may carry in its env, and the variables cc-ci sets for it.
var (
	settingNames = []string{
		"CC_CI_DEPLOY", "CC_CI_ENV", "CC_CI_COMPOSE_FILE", "CC_CI_HEALTH_PATH",
		"CC_CI_HEALTH_STATUS", "CC_CI_TIMEOUT", "CC_CI_KEEP",
	}
	providedNames = []string{
		"CC_CI", "CC_CI_URL", "CC_CI_DOMAIN", "CC_CI_STACK", "CC_CI_RECIPE", "CC_CI_SLUG",
	}
	secretSetting = regexp.MustCompile(`^CC_CI_SECRET_([A-Z0-9_]+)$`)
)

// settings are a job's wishes about its deployment, read from its env.
type settings struct {
	deploy       string
	env          string
	composeFile  string
	healthPath   string
	healthStatus []int         // nil: 200 to 399 without 404
	timeout      time.Duration // of converge; 0: the recipe's or the runner's
	keep         time.Duration // hold a failed deployment this long
	secrets      map[string]string
}

// readSettings reads the CC_CI_ variables of a job's evaluated env. All
// mistakes are reported at once, each with what to write instead.
func readSettings(env map[string]string) (settings, []string) {
	s := settings{deploy: deployAuto, healthPath: "/", secrets: map[string]string{}}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !strings.HasPrefix(name, "CC_CI") {
			continue
		}
		if err := s.set(name, strings.TrimSpace(env[name])); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", name, err))
		}
	}
	return s, wrong
}

func (s *settings) set(name, value string) (err error) {
	if m := secretSetting.FindStringSubmatch(name); m != nil {
		if value == "" {
			return fmt.Errorf("is empty: give it a value, or leave it out and a value is generated (is the secret set in the repository's settings?)")
		}
		s.secrets[strings.ToLower(m[1])] = value
		return nil
	}
	// An empty setting is one not given: expressions often evaluate to "".
	if value == "" && slices.Contains(settingNames, name) {
		return nil
	}
	switch name {
	case "CC_CI_DEPLOY":
		if value != deployAuto && value != deployManual {
			return fmt.Errorf("is %q: write auto (deploy before the steps) or manual (don't deploy)", value)
		}
		s.deploy = value
	case "CC_CI_ENV":
		s.env = value
	case "CC_CI_COMPOSE_FILE":
		s.composeFile = value
	case "CC_CI_HEALTH_PATH":
		if !strings.HasPrefix(value, "/") {
			return fmt.Errorf("is %q: a path begins with /, for example /health", value)
		}
		if _, err := url.Parse("https://host" + value); err != nil {
			return fmt.Errorf("is %q, which can't be part of an address: write other characters as %%20 and the like", value)
		}
		s.healthPath = value
	case "CC_CI_HEALTH_STATUS":
		s.healthStatus, err = parseStatuses(value)
	case "CC_CI_TIMEOUT":
		s.timeout, err = parseSpan(value)
	case "CC_CI_KEEP":
		s.keep, err = parseSpan(value)
	default:
		return unknownSetting(name)
	}
	return err
}

func unknownSetting(name string) error {
	if slices.Contains(providedNames, name) {
		return fmt.Errorf("is set by cc-ci for the steps and can't be chosen: remove it from the job's env")
	}
	if strings.HasPrefix(name, "CC_CI_SECRET") {
		return fmt.Errorf("is not a setting: did you mean CC_CI_SECRET_<NAME> with the secret's name in capitals?")
	}
	if near := spell.Nearest(name, settingNames); near != "" {
		return fmt.Errorf("is not a setting: did you mean %s?", near)
	}
	return fmt.Errorf("is not a setting; there are %s and CC_CI_SECRET_<NAME>", strings.Join(settingNames, ", "))
}

// parseStatuses reads "200", "200,302" or "401".
func parseStatuses(value string) ([]int, error) {
	var codes []int
	for field := range strings.SplitSeq(value, ",") {
		code, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || code < 100 || code > 599 {
			return nil, fmt.Errorf("is %q: write status codes separated by commas, for example 200,302", value)
		}
		codes = append(codes, code)
	}
	return codes, nil
}

// parseSpan reads seconds ("90") as abra's TIMEOUT does, or a duration ("5m").
func parseSpan(value string) (time.Duration, error) {
	if n, err := strconv.Atoi(value); err == nil && n > 0 {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("is %q: write seconds or a duration, for example 300 or 5m", value)
	}
	return d, nil
}
