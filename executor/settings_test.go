package executor

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReadSettings(t *testing.T) {
	plain := settings{deploy: "auto", healthPath: "/", secrets: map[string]string{}}
	with := func(change func(*settings)) settings {
		s := plain
		s.secrets = map[string]string{}
		change(&s)
		return s
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want settings
	}{
		{"a job that says nothing gets the defaults", map[string]string{"FOO": "bar"}, plain},
		{"an empty setting is one not given", map[string]string{"CC_CI_TIMEOUT": "", "CC_CI_HEALTH_STATUS": " "}, plain},
		{"seconds and durations are both times", map[string]string{"CC_CI_TIMEOUT": "300", "CC_CI_KEEP": "5m"},
			with(func(s *settings) { s.timeout, s.keep = 300*time.Second, 5*time.Minute })},
		{"several statuses may be right", map[string]string{"CC_CI_HEALTH_STATUS": "200, 401"},
			with(func(s *settings) { s.healthStatus = []int{200, 401} })},
		{"secrets are named in small letters, as recipes do", map[string]string{"CC_CI_SECRET_DB_PASSWORD": "x"},
			with(func(s *settings) { s.secrets["db_password"] = "x" })},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, wrong := readSettings(c.env)
			if len(wrong) > 0 || !reflect.DeepEqual(got, c.want) {
				t.Errorf("readSettings = %+v, %q; want %+v", got, wrong, c.want)
			}
		})
	}
}

func TestReadSettingsMistakes(t *testing.T) {
	for _, c := range []struct{ name, key, value, want string }{
		{"a misspelt setting names the nearest", "CC_CI_HEALTH_PAHT", "/x", "CC_CI_HEALTH_PATH"},
		{"a name like none lists them all", "CC_CI_COLOUR_OF_THE_SKY", "blue", "there are CC_CI_DEPLOY"},
		{"a name without the second underscore is caught", "CC_CIDEPLOY", "auto", "CC_CI_DEPLOY"},
		{"what cc-ci sets can't be chosen", "CC_CI_URL", "https://x", "is set by cc-ci"},
		{"a secret's setting is in capitals", "CC_CI_SECRET_db", "x", "in capitals"},
		{"an empty secret is most likely an unset one", "CC_CI_SECRET_DB", "", "is the secret set"},
		{"a mode that isn't one", "CC_CI_DEPLOY", "never", "auto"},
		{"a path without a slash", "CC_CI_HEALTH_PATH", "health", "begins with /"},
		{"a path that no address can have", "CC_CI_HEALTH_PATH", "/%zz", "can't be part"},
		{"a status that isn't one", "CC_CI_HEALTH_STATUS", "ok", "status codes"},
		{"a time that isn't one", "CC_CI_TIMEOUT", "soon", "seconds or a duration"},
		{"a time below zero", "CC_CI_TIMEOUT", "-5", "seconds or a duration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, wrong := readSettings(map[string]string{c.key: c.value})
			if len(wrong) != 1 || !strings.HasPrefix(wrong[0], c.key+": ") || !strings.Contains(wrong[0], c.want) {
				t.Errorf("mistakes = %q, want one of %s with %q", wrong, c.key, c.want)
			}
		})
	}
}
