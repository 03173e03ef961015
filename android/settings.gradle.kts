// The Gradle build for app developers. Its plugins come from Google's repository.
// Written to be right; not run by `cargo xtask test`, which builds the same sources with Maven (pom.xml).
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "sprat"
include(":sdk", ":sample")
