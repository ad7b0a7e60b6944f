package main

import (
	"testing"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

func TestAWorkerIsVersionedByItsEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name, build string
		want        worker.DeploymentOptions
		failed      bool
	}{
		{"", "", worker.DeploymentOptions{}, false},
		{"rpo", "1.4", worker.DeploymentOptions{UseVersioning: true, Version: worker.WorkerDeploymentVersion{DeploymentName: "rpo", BuildID: "1.4"},
			DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade}, false},
		{"rpo", "", worker.DeploymentOptions{}, true},
		{"", "1.4", worker.DeploymentOptions{}, true},
	} {
		t.Setenv(deploymentEnv, tt.name)
		t.Setenv(buildEnv, tt.build)
		got, err := deployment()
		if got != tt.want || (err != nil) != tt.failed || tt.failed && schemas.TypeOf(err) != schemas.InvalidInput {
			t.Errorf("%q %q: %+v, %v", tt.name, tt.build, got, err)
		}
	}
}
